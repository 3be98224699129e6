import { afterAll, beforeAll, expect, test } from "vitest";
import { Dice, drawFrames, type Outcome, startNodeServer, startOwnServer, tryFrames } from "./differential.fixture.ts";

/** SIGNET_HTTP2_SEEDS tries more of them, after a change here. */
const seeds = Number(process.env.SIGNET_HTTP2_SEEDS ?? 200);

/** Where RFC 9113 says that the connection ends, and Node (nghttp2) leaves it; the words are those of our GOAWAY. */
const stricter: ReadonlySet<string> = new Set([
  "HEADERS: expected a stream id larger than those before", // section 5.1.1
  "HEADERS of a stream that has ended", // section 5.1
  "DATA of a stream that has ended", // section 5.1
  "HEADERS: a stream that depends on itself", // RFC 7540 section 5.3.1
  "PRIORITY: a stream that depends on itself",
  "DATA: more padding than payload", // section 6.1; Node does not look at DATA of a stream that has ended
  "PRIORITY without a stream", // section 6.3
]);

let own: Awaited<ReturnType<typeof startOwnServer>>;
let node: Awaited<ReturnType<typeof startNodeServer>>;

beforeAll(async () => {
  own = await startOwnServer();
  node = await startNodeServer();
});

afterAll(() => {
  own.server.close();
  own.server.destroyConnections();
  node.server.close();
});

/** Whether they took the frames alike, or differ in a way that is known. */
function areAlike(ours: Outcome, theirs: Outcome, isDamaged: boolean): boolean {
  const isOurs = ours.connection === "ok";
  const isTheirs = theirs.connection === "ok";
  if (!isOurs && !isTheirs) return true;
  if (!isOurs) return stricter.has(ours.words);
  // Section 5.4.1: an error of a stream may be taken as one of the connection.
  if (!isTheirs) return Object.values(ours.streams).includes("reset");
  const ids = new Set([...Object.keys(ours.streams), ...Object.keys(theirs.streams)]);
  return [...ids].every((id) => {
    const [our, their] = [ours.streams[Number(id)], theirs.streams[Number(id)]];
    // Node leaves an invalid header out; section 8.2.1 has the request malformed.
    return our === their || (isDamaged && our === "reset");
  });
}

test(`takes what clients send as node:http2 does, for ${seeds} seeds`, async () => {
  const different: object[] = [];
  const taken = { ok: 0, error: 0 };
  for (let seed = 0; seed < seeds; seed++) {
    const { frames, isDamaged } = drawFrames(new Dice(seed));
    const [ours, theirs] = await Promise.all([tryFrames(own.port, frames), tryFrames(node.port, frames)]);
    if (!areAlike(ours, theirs, isDamaged)) different.push({ seed, ours, theirs });
    taken[ours.connection === "ok" ? "ok" : "error"]++;
  }
  expect(different).toEqual([]);
  // Else it would be about nothing.
  expect(taken.ok).toBeGreaterThan(seeds / 5);
  expect(taken.error).toBeGreaterThan(seeds / 5);
});
