import { describe, expect, test } from "vitest";
import type { CancelReason, DirectCall, DirectReceiver } from "./direct-call.ts";
import { Flag, FrameType, Setting } from "./frames.ts";
import { encodeStatusMessage, parseTimeoutMs } from "./grpc-words.ts";
import {
  data,
  frame,
  headers,
  message,
  request,
  type Served,
  setting,
  uint32,
  useHttp2Server,
  windowUpdate,
} from "./raw-client.fixture.ts";

/** Tells what happened to direct calls; answers each message with its bytes and the client's end with OK. */
class Echo implements DirectReceiver {
  readonly calls: DirectCall[] = [];
  readonly events: string[] = [];

  readonly open = (call: DirectCall): DirectReceiver => {
    this.calls.push(call);
    return this;
  };

  onMessage(call: DirectCall, bytes: Buffer): void {
    this.events.push(`message ${bytes.length}`);
    call.sendMessage([bytes.subarray(0, 1), bytes.subarray(1)]);
  }

  onEnd(call: DirectCall): void {
    this.events.push("end");
    call.end(0);
  }

  onCancel(_call: DirectCall, reason: CancelReason): void {
    this.events.push(`cancel ${reason}`);
  }
}

async function useEcho(maxMessageBytes = 100_000): Promise<Served & { echo: Echo }> {
  const echo = new Echo();
  const served = await useHttp2Server({}, { direct: new Map([["/test", echo.open]]), maxMessageBytes });
  return { ...served, echo };
}

function statusOf(fields: readonly string[] | undefined): string | undefined {
  return fields?.[fields.indexOf("grpc-status") + 1];
}

describe("a direct call", () => {
  test("gets its messages and answers them", async () => {
    const { connect, echo } = await useEcho();
    const client = connect().greet(headers(1, request, 0), data(1, message(3), false), data(1, message(0)));
    await client.settled();
    expect(echo.events).toEqual(["message 3", "message 0", "end"]);
    expect(client.fields.get(1)).toEqual([
      ...[":status", "200", "content-type", "application/grpc+proto"],
      ...["grpc-encoding", "identity", "grpc-accept-encoding", "identity,deflate,gzip", "grpc-status", "0"],
    ]);
    const sent = client.frames.filter(({ type }) => type === FrameType.DATA).map(({ payload }) => payload);
    expect(Buffer.concat(sent)).toEqual(Buffer.concat([message(3), message(0)]));
  });

  test("may be refused when its headers have come, and nothing of its message is kept", async () => {
    const refuse = (call: DirectCall) => {
      call.end(16, "who are you? ä", ["signet-code", "UNAUTHENTICATED"]);
      return null;
    };
    const { connect, server } = await useHttp2Server({}, { direct: new Map([["/test", refuse]]) });
    const client = connect().greet(headers(1, request, 0), data(1, message(100, 5000), false));
    await client.settled();
    expect(client.fields.get(1)).toEqual([
      ...[":status", "200", "content-type", "application/grpc+proto"],
      ...["grpc-status", "16", "grpc-message", "who are you? %C3%A4", "signet-code", "UNAUTHENTICATED"],
    ]);
    expect(server.heldBytes).toBe(0);
  });

  test("with a message that is too long ends before the message is there", async () => {
    const { connect, echo } = await useEcho(1000);
    const client = connect().greet(headers(1, request, 0), data(1, message(10, 1001), false));
    await client.settled();
    expect(statusOf(client.fields.get(1))).toBe("8");
    await client.send(headers(3, request, 0), data(3, message(1001))).settled();
    expect(statusOf(client.fields.get(3))).toBe("8");
    expect(echo.events).toEqual(["cancel message", "cancel message"]);
  });

  test.each([
    ["half a message", message(10, 20)],
    ["half a prefix", Buffer.of(0, 0)],
    ["a compressed message", Buffer.concat([Buffer.of(1), message(3).subarray(1)])],
  ])("that ends with %s is INTERNAL", async (_, bytes) => {
    const { connect, echo } = await useEcho();
    const client = connect().greet(headers(1, request, 0), data(1, bytes));
    await client.settled();
    expect(statusOf(client.fields.get(1))).toBe("13");
    expect(echo.events).toEqual(["cancel message"]);
  });

  test("ends at its deadline, and its handler hears of it", async () => {
    const { connect, echo } = await useEcho();
    const client = connect().greet(headers(1, [...request, "grpc-timeout", "50m"], 0));
    await client.frame(FrameType.HEADERS);
    expect(statusOf(client.fields.get(1))).toBe("4");
    expect(echo.events).toEqual(["cancel deadline"]);
    expect(echo.calls[0]!.deadlineMs).toBeLessThanOrEqual(performance.now());
  });

  test.each([
    ["resets it", frame(FrameType.RST_STREAM, 0, 1, uint32(8))],
    ["breaks the connection", null],
  ])("is cancelled when the client %s, once", async (_, bytes) => {
    const { connect, echo } = await useEcho();
    const client = connect().greet(headers(1, request, 0));
    await client.settled();
    if (bytes === null) client.socket.destroy();
    else client.send(bytes);
    await expect.poll(() => echo.events).toEqual(["cancel client"]);
    echo.calls[0]!.end(0);
    echo.calls[0]!.sendMessage([Buffer.of(1)]);
    expect(echo.calls[0]!.hasEnded).toBe(true);
  });

  test("that is paused lets the client send its window and no more, until it is resumed", async () => {
    const echo = new Echo();
    const limits = { streamWindowBytes: 1000 };
    const { connect } = await useHttp2Server(limits, { direct: new Map([["/test", echo.open]]) });
    const client = connect().greet(headers(1, request, 0));
    await client.settled();
    const [call] = echo.calls;
    call!.pause();
    await client.send(data(1, message(900), false)).settled();
    const updates = () =>
      client.frames.filter(({ type, streamId }) => type === FrameType.WINDOW_UPDATE && streamId === 1);
    expect(updates()).toHaveLength(0);
    call!.resume();
    await client.settled();
    expect(updates()).toHaveLength(1);
    await client.send(data(1, message(900))).settled();
    expect(echo.events).toEqual(["message 900", "message 900", "end"]);
  });

  test("that goes on counts only messages that it has not released", async () => {
    const echo = new Echo();
    const direct = new Map([["/test", echo.open]]);
    const { connect, server } = await useHttp2Server({}, { direct, maxMessageBytes: 2 ** 20 });
    const client = connect().greet(setting(Setting.INITIAL_WINDOW_SIZE, 2 ** 24), windowUpdate(0, 2 ** 24));
    client.send(headers(1, request, 0), data(1, message(100_000), false), data(1, message(100_000), false));
    await client.settled();
    expect(server.heldBytes).toBe(2 * 2 ** 17);
    echo.calls[0]!.release();
    expect(server.heldBytes).toBe(0);
    await client.send(data(1, message(100_000), false)).settled();
    expect(server.heldBytes).toBe(2 ** 17);
    await client.send(data(1, "")).settled();
    expect(server.heldBytes).toBe(0);
  });

  test("lets an answer wait for the client's window, and tells when it is on its way", async () => {
    const { connect, echo } = await useEcho();
    const client = connect().greet(setting(Setting.INITIAL_WINDOW_SIZE, 10), headers(1, request, 0));
    await client.settled();
    const [call] = echo.calls;
    let isSent = false;
    call!.sendMessage([Buffer.alloc(0), Buffer.alloc(20_000), Buffer.alloc(0)], () => {
      isSent = true;
    });
    call!.end(0);
    await client.settled();
    expect(isSent).toBe(false);
    await client.send(windowUpdate(1, 40_000)).settled();
    expect(isSent).toBe(true);
    expect(statusOf(client.fields.get(1))).toBe("0");
  });

  test.each([
    ["compressed messages", ["grpc-encoding", "gzip"]],
    ["a deadline that is none", ["grpc-timeout", "soon"]],
  ])("is not made of one with %s, which grpc-js answers as ever", async (_, fields) => {
    const { connect, echo, streams } = await useEcho();
    await connect()
      .greet(headers(1, [...request, ...fields], Flag.END_STREAM))
      .settled();
    expect(echo.calls).toHaveLength(0);
    expect(streams).toHaveLength(1);
  });
});

describe("the words of gRPC", () => {
  test.each([
    ["1H", 3_600_000],
    ["2M", 120_000],
    ["3S", 3000],
    ["99999999m", 99_999_999],
    ["5u", 0.005],
    ["7n", 0.000007],
    ["0m", 0],
  ])("the timeout %j is %d ms", (text, ms) => {
    expect(parseTimeoutMs(text)).toBeCloseTo(ms, 9);
  });

  test.each(["", "m", "1", "123456789m", "1x", "-1m", "1.5S", " 1S", "1 S"])("the timeout %j is none", (text) => {
    expect(parseTimeoutMs(text)).toBeNaN();
  });

  test("a message is percent-encoded where it must be", () => {
    expect(encodeStatusMessage("plain ~ words")).toBe("plain ~ words");
    expect(encodeStatusMessage("100%\n\u20ac")).toBe("100%25%0A%E2%82%AC");
  });
});
