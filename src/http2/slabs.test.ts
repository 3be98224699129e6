import { describe, expect, test } from "vitest";
import type { DirectCall, DirectReceiver } from "./direct-call.ts";
import { FrameType } from "./frames.ts";
import { data, headers, message, request, setting, useHttp2Server, windowUpdate } from "./raw-client.fixture.ts";
import { giveSlab, takeSlab } from "./slabs.ts";

describe("slabs", () => {
  test("are used again, by who wants about as much", () => {
    const slab = takeSlab(100_000);
    expect(slab.length).toBe(131_072);
    giveSlab(slab);
    expect(takeSlab(70_000)).toBe(slab);
    expect(takeSlab(70_000)).not.toBe(slab);
  });

  test("that are very large are not kept", () => {
    const slab = takeSlab(5_000_000);
    giveSlab(slab);
    expect(takeSlab(5_000_000)).not.toBe(slab);
  });
});

/** Gives messages back and forth as a handler does that lets their memory be used again. */
const echo: DirectReceiver = {
  onMessage(call: DirectCall, bytes: Buffer) {
    call.sendMessage([bytes], () => call.release());
    call.end(0);
  },
  onEnd() {},
  onCancel() {},
};

test("a message whose memory is used again is whole until its answer is out", async () => {
  const direct = new Map([["/test", () => echo]]);
  const { connect, server } = await useHttp2Server({}, { direct });
  // The first answer waits for its window, while calls of another connection use what memory is free.
  const slow = connect().greet(setting(4, 100), headers(1, request, 0), data(1, message(Buffer.alloc(60_000, 1))));
  await slow.settled();
  const other = connect().greet(setting(4, 2 ** 20), windowUpdate(0, 2 ** 30));
  for (let id = 1; id < 40; id += 2) {
    await other.send(headers(id, request, 0), data(id, message(Buffer.alloc(60_000, id + 1)))).settled();
  }
  await slow.send(windowUpdate(0, 2 ** 20), windowUpdate(1, 2 ** 20)).settled();
  const contentOf = ({ frames }: typeof slow, id: number) =>
    Buffer.concat(frames.filter((f) => f.type === FrameType.DATA && f.streamId === id).map(({ payload }) => payload));
  expect(contentOf(slow, 1).equals(message(Buffer.alloc(60_000, 1)))).toBe(true);
  for (let id = 1; id < 40; id += 2) {
    expect(contentOf(other, id).equals(message(Buffer.alloc(60_000, id + 1)))).toBe(true);
  }
  expect(server.heldBytes).toBe(0);
});
