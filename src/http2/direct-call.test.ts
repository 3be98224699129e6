import { describe, expect, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import type { CancelReason, DirectCall, DirectReceiver } from "./direct-call.ts";
import { ErrorCode, Flag, FrameType, readUint32, Setting } from "./frames.ts";
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

const attack = attacksOn("the server's time and memory");

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

  test("that is paused is told nothing until it is resumed, and then everything in order", async () => {
    const { connect, echo } = await useEcho();
    const client = connect().greet(headers(1, request, 0));
    await client.settled();
    const [call] = echo.calls;
    call!.pause();
    const messages = Array.from({ length: 300 }, (_, length) => message(length));
    await client.send(data(1, Buffer.concat(messages))).settled();
    expect(echo.events).toEqual([]);
    // Pauses again after every message, as a handler with little room does.
    const { onMessage } = echo;
    echo.onMessage = (...args) => {
      onMessage.apply(echo, args);
      call!.pause();
    };
    for (let told = 1; told <= 300; told++) {
      call!.resume();
      expect(echo.events).toHaveLength(told);
    }
    call!.resume();
    expect(echo.events).toEqual([...messages.map((_, length) => `message ${length}`), "end"]);
  });

  test("that is paused counts each waiting message, however small, with what it costs", async () => {
    const { connect, echo, server } = await useEcho();
    const client = connect().greet(headers(1, request, 0));
    await client.settled();
    echo.calls[0]!.pause();
    await client.send(data(1, Buffer.concat(Array(1000).fill(message(0))), false)).settled();
    expect(server.heldBytes).toBeGreaterThan(100_000);
    client.socket.destroy();
    await expect.poll(() => server.heldBytes).toBe(0);
  });

  test("sends its headers when it is told to, ahead of its messages", async () => {
    const open = (call: DirectCall) => {
      call.sendHead();
      return new Echo();
    };
    const { connect } = await useHttp2Server({}, { direct: new Map([["/test", open]]) });
    const client = connect().greet(headers(1, request, 0));
    await client.frame(FrameType.HEADERS);
    expect(client.fields.get(1)?.slice(0, 2)).toEqual([":status", "200"]);
    await client.send(data(1, message(3))).settled();
    expect(statusOf(client.fields.get(1))).toBe("0");
  });

  test("that goes on may release its messages one by one", async () => {
    const { connect, echo, server } = await useEcho(2 ** 20);
    const given: Buffer[] = [];
    echo.onMessage = (_, bytes) => void given.push(bytes);
    const client = connect().greet(headers(1, request, 0));
    await client.send(data(1, message(100_000), false), data(1, message(50_000), false)).settled();
    const [call] = echo.calls;
    await client.send(data(1, message(10), false)).settled();
    call!.releaseMessage(given[1]!);
    expect(server.heldBytes).toBeGreaterThan(2 ** 17);
    expect(server.heldBytes).toBeLessThan(2 ** 17 + 2 ** 16);
    call!.releaseMessage(given[2]!);
    expect(server.heldBytes).toBe(2 ** 17);
    call!.releaseMessage(given[0]!);
    expect(server.heldBytes).toBe(0);
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

  test(
    "is refused to a client that does not take its answers, until it does",
    attack("asks for more and more, and takes no answer", "answers of more than a connection may have in memory"),
    async () => {
      const echo = new Echo();
      const direct = new Map([["/test", echo.open]]);
      const { connect, server } = await useHttp2Server({ maxHeldBytes: 100_000 }, { direct });
      const client = connect().greet(setting(Setting.INITIAL_WINDOW_SIZE, 0), windowUpdate(0, 2 ** 24));
      await client.send(headers(1, request, 0), headers(3, request, 0)).settled();
      for (const call of echo.calls) {
        call.sendMessage([Buffer.alloc(60_000)]);
        call.end(0);
      }
      expect(server.heldBytes).toBe(2 * 60_005);
      await client.send(headers(5, request, 0), data(5, message(20_000))).settled();
      const { streamId, payload } = await client.frame(FrameType.RST_STREAM);
      expect({ streamId, code: readUint32(payload, 0) }).toEqual({ streamId: 5, code: ErrorCode.ENHANCE_YOUR_CALM });
      await client.send(windowUpdate(1, 2 ** 20), frame(FrameType.RST_STREAM, 0, 3, uint32(8))).settled();
      expect(server.heldBytes).toBe(0);
      await client.send(headers(7, request, 0), data(7, message(20_000), false)).settled();
      expect(echo.events).toContain("message 20000");
    },
  );

  test("that goes on gives back memory that was lent as soon as it is sent, and says so", async () => {
    const { connect, echo } = await useEcho();
    const client = connect().greet(setting(Setting.INITIAL_WINDOW_SIZE, 100), headers(1, request, 0));
    await client.settled();
    const [call] = echo.calls;
    const told: string[] = [];
    const send = (name: string, bytes: number) => {
      const lent = { release: () => void told.push(`${name} released`) };
      call!.sendLent([Buffer.alloc(bytes)], lent, () => told.push(`${name} sent`));
    };
    send("small", 10);
    expect(told).toEqual(["small sent", "small released"]);
    send("large", 50_000);
    send("next", 50_000);
    await client.settled();
    expect(told).toHaveLength(2);
    client.send(windowUpdate(1, 200_000), windowUpdate(0, 200_000));
    await expect.poll(() => told).toHaveLength(6);
    expect(new Set(told.slice(2))).toEqual(new Set(["large sent", "large released", "next sent", "next released"]));
    expect(call!.hasEnded).toBe(false);
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
