import { once } from "node:events";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import type { CancelReason, DirectCall, DirectReceiver } from "./direct-call.ts";
import { DirectCalls } from "./direct-calls.ts";
import { FOREIGN_WINDOW_BYTES, ForeignHead, ForeignStream } from "./foreign-stream.ts";
import { FrameType } from "./frames.ts";
import { MemoryBudget } from "./memory-budget.ts";
import {
  data,
  frame,
  headers,
  message,
  RawClient,
  request,
  setting,
  uint32,
  windowUpdate,
} from "./raw-client.fixture.ts";
import { takeSlab } from "./slabs.ts";

/** The same as in direct-call.test.ts, on node:http2. */
class Echo implements DirectReceiver {
  readonly calls: DirectCall[] = [];
  readonly events: string[] = [];
  readonly messages: Buffer[] = [];

  readonly open = (call: DirectCall): DirectReceiver => {
    this.calls.push(call);
    return this;
  };

  onMessage(call: DirectCall, bytes: Buffer): void {
    this.events.push(`message ${bytes.length}`);
    this.messages.push(bytes);
    call.sendMessage([bytes.subarray(0, 1), bytes.subarray(1)]);
  }

  onEnd(call: DirectCall): void {
    this.events.push("end");
    call.end(0, "", ["more", "trailers"]);
  }

  onCancel(_call: DirectCall, reason: CancelReason): void {
    this.events.push(`cancel ${reason}`);
  }
}

async function useEcho({ maxHeldBytes = 2 ** 30, maxMessageBytes = 2 ** 20 } = {}) {
  const echo = new Echo();
  const budget = new MemoryBudget(maxHeldBytes);
  const calls = new DirectCalls({ direct: new Map([["/test", echo.open]]), maxMessageBytes });
  const server = createServer({ settings: { initialWindowSize: FOREIGN_WINDOW_BYTES } });
  const others: string[] = [];
  server.on("session", (session) => session.setLocalWindowSize(2 ** 26));
  server.on("stream", (stream, fields) => {
    const head = new ForeignHead(fields);
    if (calls.open(new ForeignStream(stream, stream.session!, head, budget))) return;
    others.push(head.path);
    stream.respond({}, { endStream: true });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = new RawClient(port);
  onTestFinished(() => {
    client.socket.destroy();
    server.close();
  });
  return { echo, budget, client, others };
}

const statusOf = (fields: readonly string[] | undefined) => fields?.[fields.indexOf("grpc-status") + 1];
const contentOf = (client: RawClient) =>
  Buffer.concat(client.frames.filter(({ type }) => type === FrameType.DATA).map(({ payload }) => payload));
const hasEnded = (client: RawClient) => expect.poll(() => statusOf(client.fields.get(1))).toBe("0");

describe("a direct call on node:http2", () => {
  test.each([0, 3, 16_384, 500_000])("gets a message of %i bytes and answers it", async (bytes) => {
    const { client, echo } = await useEcho();
    client.greet(setting(4, 2 ** 24), windowUpdate(0, 2 ** 24), headers(1, request, 0));
    for (let at = 0; at < bytes + 5; at += 16_384) {
      const piece = message(bytes).subarray(at, at + 16_384);
      client.send(data(1, piece, at + 16_384 >= bytes + 5));
    }
    await hasEnded(client);
    expect(echo.events).toEqual([`message ${bytes}`, "end"]);
    expect(contentOf(client).equals(message(bytes))).toBe(true);
    expect(client.fields.get(1)).toEqual(
      expect.arrayContaining([":status", "200", "content-type", "application/grpc+proto", "more", "trailers"]),
    );
  });

  test("is refused in trailers only, when its headers have come", async () => {
    const { client, echo, budget } = await useEcho();
    client.greet(headers(1, [...request, "grpc-timeout", "0m"], 0), data(1, message(10), false));
    await expect.poll(() => statusOf(client.fields.get(1))).toBe("4");
    expect(echo.events).not.toContain("end");
    await expect.poll(() => budget.heldBytes).toBe(0);
  });

  test("ends with a message that is too long before the message is there", async () => {
    const { client, echo } = await useEcho({ maxMessageBytes: 1000 });
    client.greet(headers(1, request, 0), data(1, message(10, 1001), false));
    await expect.poll(() => statusOf(client.fields.get(1))).toBe("8");
    expect(echo.events).toEqual(["cancel message"]);
  });

  test.each([
    ["half a message", message(10, 20)],
    ["a compressed message", Buffer.concat([Buffer.of(1), message(3).subarray(1)])],
  ])("that ends with %s is INTERNAL", async (_, bytes) => {
    const { client, echo } = await useEcho();
    client.greet(headers(1, request, 0), data(1, bytes));
    await expect.poll(() => statusOf(client.fields.get(1))).toBe("13");
    expect(echo.events).toEqual(["cancel message"]);
  });

  test.each([
    ["resets it", frame(FrameType.RST_STREAM, 0, 1, uint32(8))],
    ["breaks the connection", null],
  ])("is cancelled when the client %s, once, and holds nothing then", async (_, bytes) => {
    const { client, echo, budget } = await useEcho();
    client.greet(headers(1, request, 0), data(1, message(10, 100_000), false));
    await expect.poll(() => budget.heldBytes).toBeGreaterThan(0);
    if (bytes === null) client.socket.destroy();
    else client.send(bytes);
    await expect.poll(() => echo.events).toEqual(["cancel client"]);
    echo.calls[0]!.sendMessage([Buffer.of(1)]);
    echo.calls[0]!.end(0);
    expect(budget.heldBytes).toBe(0);
  });

  test("that is paused is told nothing until it is resumed, and counts its window meanwhile", async () => {
    const { client, echo, budget } = await useEcho();
    client.greet(headers(1, request, 0));
    await expect.poll(() => echo.calls).toHaveLength(1);
    const [call] = echo.calls;
    call!.pause();
    client.send(data(1, message(100)));
    await expect.poll(() => budget.heldBytes).toBeGreaterThan(FOREIGN_WINDOW_BYTES);
    expect(echo.events).toEqual([]);
    call!.resume();
    await hasEnded(client);
    expect(echo.events).toEqual(["message 100", "end"]);
    await expect.poll(() => budget.heldBytes).toBe(0);
  });

  test.each([
    ["a message", 50_000, false],
    ["what may come while it pauses", FOREIGN_WINDOW_BYTES, true],
  ])("is reset where there is no memory for %s", async (_, maxHeldBytes, isPaused) => {
    const { client, echo, budget } = await useEcho({ maxHeldBytes });
    client.greet(headers(1, request, 0));
    await expect.poll(() => echo.calls).toHaveLength(1);
    if (isPaused) echo.calls[0]!.pause();
    client.send(data(1, message(10, 100_000), false));
    const { payload } = await client.frame(FrameType.RST_STREAM);
    expect(payload).toEqual(uint32(11));
    await expect.poll(() => echo.events).toEqual(["cancel client"]);
    expect(budget.heldBytes).toBe(0);
  });

  test("may release its messages one by one", async () => {
    const { client, echo, budget } = await useEcho();
    client.greet(headers(1, request, 0), data(1, message(10_000), false), data(1, message(10), false));
    await expect.poll(() => echo.messages).toHaveLength(2);
    const both = budget.heldBytes;
    echo.calls[0]!.releaseMessage(echo.messages[0]!);
    expect(budget.heldBytes).toBeLessThan(both);
    echo.calls[0]!.releaseMessage(echo.messages[1]!);
    expect(budget.heldBytes).toBe(0);
  });

  test("tells when an answer is on its way, and what waits until then", async () => {
    const { client, echo } = await useEcho();
    client.greet(setting(4, 10), headers(1, request, 0));
    await expect.poll(() => echo.calls).toHaveLength(1);
    const [call] = echo.calls;
    let isSent = false;
    call!.sendMessage([Buffer.alloc(100_000)], () => {
      isSent = true;
    });
    await client.settled();
    expect(isSent).toBe(false);
    expect(call!.waitingBytes).toBeGreaterThan(0);
    client.send(windowUpdate(0, 200_000), windowUpdate(1, 200_000));
    await expect.poll(() => isSent).toBe(true);
  });

  test.each([10, 100_000])("copies %i bytes that were lent, and tells when they are on their way", async (bytes) => {
    const { client, echo } = await useEcho();
    client.greet(setting(4, 2 ** 24), windowUpdate(0, 2 ** 24), headers(1, request, 0));
    await expect.poll(() => echo.calls).toHaveLength(1);
    const told: string[] = [];
    const lent = { release: () => void told.push("released") };
    echo.calls[0]!.sendLent([Buffer.alloc(bytes, 7)], lent, () => told.push("sent"));
    expect(told).toEqual(["released"]);
    await expect.poll(() => told).toEqual(["released", "sent"]);
    await client.settled();
    expect(contentOf(client).equals(message(bytes))).toBe(true);
  });

  test("counts a large answer against the memory until its client takes it, or leaves", async () => {
    const { client, echo, budget } = await useEcho();
    client.greet(headers(1, request, 0), headers(3, request, 0));
    await expect.poll(() => echo.calls).toHaveLength(2);
    for (const call of echo.calls) call.sendMessage([Buffer.alloc(500_000)]);
    expect(budget.heldBytes).toBe(2 * 500_000);
    client.send(frame(FrameType.RST_STREAM, 0, 1, uint32(8)));
    await expect.poll(() => budget.heldBytes).toBe(500_000);
    client.send(windowUpdate(0, 2 ** 24), windowUpdate(3, 2 ** 24));
    await expect.poll(() => budget.heldBytes).toBe(0);
  });

  test("that is reset leaves the copy of what was lent alone, of which parts are on their way", async () => {
    const { client, echo } = await useEcho();
    client.greet(headers(1, request, 0));
    await expect.poll(() => echo.calls).toHaveLength(1);
    const lent = Buffer.alloc(500_000, 7);
    const isTold = new Promise<void>((resolve) => {
      echo.calls[0]!.sendLent([lent], { release: () => undefined }, resolve);
    });
    await client.settled(); // its window is full
    client.send(frame(FrameType.RST_STREAM, 0, 1, uint32(8)));
    await isTold;
    expect(takeSlab(lent.length).subarray(0, lent.length).equals(lent)).toBe(false);
  });

  test("is not made of one with compressed messages", async () => {
    const { client, echo, others } = await useEcho();
    client.greet(headers(1, [...request, "grpc-encoding", "gzip"]));
    await expect.poll(() => others).toEqual(["/test"]);
    expect(echo.calls).toHaveLength(0);
  });
});
