import { connect, createServer, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { userOfPeer } from "./peer-user.ts";

const attack = attacksOn("calls");

/** A connection of this process to itself; the server's view of its client. */
async function useConnection(listen: string, dial: string): Promise<string> {
  const server = createServer();
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, listen, resolve));
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const client = connect((server.address() as { port: number }).port, dial);
  const { remoteAddress, remotePort } = await accepted;
  onTestFinished(() => void client.destroy());
  return `${remoteAddress}:${remotePort}`;
}

test.each([
  ["127.0.0.1", "127.0.0.1"],
  ["0.0.0.0", "127.0.0.2"],
  ["::1", "::1"],
  ["::", "127.0.0.1"],
  ["::", "::1"],
])("of a client of this machine that calls %s by %s is found", async (listen, dial) => {
  expect(userOfPeer(await useConnection(listen, dial))).toBe(process.getuid!());
});

test("of a client elsewhere is not known", () => {
  expect(userOfPeer("192.0.2.1:4711")).toBe(null);
  expect(userOfPeer("2001:db8::1:4711")).toBe(null);
  expect(userOfPeer("nonsense")).toBe(null);
  expect(userOfPeer("")).toBe(null);
});

test(
  "is not known where two users have sockets of that address and port",
  attack("passes for another user", "a second socket of the same address and port"),
  () => {
    const line = (uid: number) => `  0: 0100007F:1267 0100007F:1F41 01 0:0 00:0 0 ${uid} 0 1 1`;
    const table =
      (...uids: number[]) =>
      () =>
        ["header", ...uids.map(line)].join("\n");
    expect(userOfPeer("127.0.0.1:4711", table(1000))).toBe(1000);
    const both = userOfPeer("127.0.0.1:4711", table(1000, 0));
    expect(both).toBe(null);
    observed(`no user is known: ${both}`);
    expect(userOfPeer("127.0.0.1:4712", table(1000))).toBe(null);
  },
);
