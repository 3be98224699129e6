import { describe, expect, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { Flag, FrameType, readUint32, Setting } from "./frames.ts";
import type { ConnectionLimits } from "./limits.ts";
import {
  block,
  data,
  frame,
  headers,
  message,
  type RawClient,
  request,
  setting,
  settingsFrame,
  uint32,
  useHttp2Server,
  windowUpdate,
} from "./raw-client.fixture.ts";

/** What a client could otherwise have without end. */

const { END_HEADERS, END_STREAM } = Flag;
const calm = "connection ENHANCE_YOUR_CALM";
const ping = frame(FrameType.PING, 0, 0, Buffer.alloc(8));
const reset = (streamId: number) => frame(FrameType.RST_STREAM, 0, streamId, uint32(8));

function times(count: number, make: (index: number) => Buffer): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, index) => make(index)));
}

/** Opens and immediately ends calls in some way. */
function calls(count: number, make: (streamId: number) => Buffer): Buffer {
  return times(count, (index) => make(2 * index + 1));
}

const attack = attacksOn("the server's time and memory");

describe("a flood of", () => {
  test.each<[string, Buffer]>([
    ["PING", times(3000, () => ping)],
    ["SETTINGS", times(300, () => settingsFrame)],
    ["acknowledgements of SETTINGS", times(300, () => frame(FrameType.SETTINGS, Flag.ACK))],
    [
      "calls that are reset at once (CVE-2023-44487)",
      calls(3000, (id) => Buffer.concat([headers(id, request, 0), reset(id)])),
    ],
    ["malformed calls", calls(3000, (id) => headers(id, ["x", "y"]))],
    [
      "calls that the server must reset (CVE-2025-8671)",
      calls(3000, (id) => Buffer.concat([headers(id, request, 0), windowUpdate(id, 0)])),
    ],
    ["empty DATA (CVE-2019-9518)", Buffer.concat([headers(1, request, 0), times(3000, () => data(1, "", false))])],
    [
      "empty DATA of a stream that was reset",
      Buffer.concat([headers(1, ["x", "y"], 0), times(3000, () => data(1, ""))]),
    ],
    ["RST_STREAM of a stream that has ended", Buffer.concat([headers(1), times(3000, () => reset(1))])],
    ["PRIORITY", times(60_000, () => frame(FrameType.PRIORITY, 0, 1, "0000000010"))],
    ["WINDOW_UPDATE", times(60_000, () => windowUpdate(0, 1))],
    ["unknown frames", times(60_000, () => frame(0x42))],
    ["GOAWAY", times(60_000, () => frame(FrameType.GOAWAY, 0, 0, Buffer.alloc(8)))],
    [
      "CONTINUATION (CVE-2024-27316)",
      Buffer.concat([frame(FrameType.HEADERS, 0, 1), times(100, () => frame(FrameType.CONTINUATION, 0, 1))]),
    ],
    [
      "headers",
      Buffer.concat([
        frame(FrameType.HEADERS, 0, 1, block(request)),
        times(10, () => frame(FrameType.CONTINUATION, 0, 1, block(["x", "y".repeat(10_000)]))),
      ]),
    ],
  ])("%s ends the connection, and no other", attack.each("floods a connection"), async (_, flood) => {
    const { connect } = await useHttp2Server();
    const other = connect().greet(headers(1, request, 0));
    expect(await connect().greet(flood).outcome()).toBe(calm);
    expect(await other.send(data(1, message(3))).outcome()).toBe("answered");
    observed("ENHANCE_YOUR_CALM, others are served");
  });

  test("what a well-meaning client does is none", async () => {
    const { connect } = await useHttp2Server();
    const client = connect().greet(
      times(500, () => ping),
      times(50, () => settingsFrame),
      times(5000, () => windowUpdate(0, 1)),
    );
    client.send(
      calls(500, (id) => Buffer.concat([headers(id, request, 0), reset(id)])),
      headers(2001),
    );
    expect(await client.outcome()).toBe("answered");
  });

  test("as many WINDOW_UPDATE and PING as answers call for is none, however fast a client is", async () => {
    const { connect } = await useHttp2Server();
    const client = connect().greet();
    for (let round = 0; round < 140; round++) {
      const first = round * 300 + 1;
      client.send(
        times(150, (i) => Buffer.concat([headers(first + 2 * i, request, 0), data(first + 2 * i, message(0))])),
      );
      expect(await client.outcome()).toBe("answered");
      client.send(
        times(300, () => windowUpdate(0, 1)),
        times(150, () => ping),
      );
      client.frames.length = 0;
    }
    expect(await client.outcome()).toBe("answered");
  });
});

describe("headers", () => {
  test("that are long in the end, though short on the wire, end their call", async () => {
    const { connect, streams } = await useHttp2Server();
    // One field of 2,000 bytes in the table, and 40 bytes that name it 40 times.
    const field = Buffer.concat([Buffer.of(0x40), block(["x-long", "y".repeat(2000)]).subarray(1)]);
    const bomb = Buffer.concat([block(request), field, Buffer.alloc(40, 0x80 | 62)]);
    const client = connect().greet(frame(FrameType.HEADERS, END_HEADERS | END_STREAM, 1, bomb));
    expect(await client.outcome()).toBe("stream ENHANCE_YOUR_CALM");
    expect(streams).toHaveLength(0);
    await client.send(headers(3)).settled();
    expect(client.fields.get(3)).toEqual([":status", "200"]);
  });

  test("in a frame that nobody needs to be so long end the connection before it is there", async () => {
    const { connect } = await useHttp2Server();
    const head = frame(FrameType.HEADERS, END_HEADERS, 1, Buffer.alloc(100_000)).subarray(0, 9);
    expect(await connect().greet(head).outcome()).toBe(calm);
  });
});

describe("streams", () => {
  test("beyond the agreed number are refused, and taken when others have ended", async () => {
    const { connect } = await useHttp2Server({ maxConcurrentStreams: 2 });
    const client = connect().greet(headers(1, request, 0), headers(3, request, 0), headers(5));
    expect(await client.outcome()).toBe("stream REFUSED_STREAM");
    await client.send(data(1, ""), headers(7)).settled();
    expect([...client.fields.keys()]).toEqual([1, 7]);
  });

  test("are told of in SETTINGS", async () => {
    const { connect } = await useHttp2Server({ maxConcurrentStreams: 7 });
    const { payload } = await connect().greet().frame(FrameType.SETTINGS);
    expect(payload.readUInt16BE(0)).toBe(Setting.MAX_CONCURRENT_STREAMS);
    expect(payload.readUInt32BE(2)).toBe(7);
  });
});

describe("memory", () => {
  const small: Partial<ConnectionLimits> = { maxHeldBytes: 400_000 };

  test("for messages of one connection is bounded, and free again when calls have ended", async () => {
    const { connect, server } = await useHttp2Server(small);
    const client = connect().greet();
    for (const id of [1, 3, 5]) client.send(headers(id, request, 0), data(id, message(100, 99_000), false));
    expect(await client.outcome()).toBe("nothing");
    expect(server.heldBytes).toBe(3 * 2 ** 17);
    await client.send(headers(7, request, 0), data(7, message(100, 99_000), false)).settled();
    const { streamId } = await client.frame(FrameType.RST_STREAM);
    expect(streamId).toBe(7);
    await client.send(reset(1), headers(9, request, 0), data(9, message(50_000))).settled();
    expect(client.fields.get(9)).toContain("grpc-status");
    client.socket.destroy();
    await expect.poll(() => server.heldBytes).toBe(0);
  });

  test("is free again when a stream's next message has come", async () => {
    const { connect, server } = await useHttp2Server(small);
    const client = connect().greet(headers(1, request, 0));
    for (let sent = 0; sent < 20; sent++) client.send(data(1, message(99_000), false));
    expect(await client.outcome()).toBe("nothing");
    expect(server.heldBytes).toBe(2 ** 17);
  });

  test("for messages of all connections is bounded", async () => {
    const { connect } = await useHttp2Server({}, { maxHeldBytes: 200_000 });
    const first = connect().greet(headers(1, request, 0), data(1, message(100, 99_000), false));
    expect(await first.outcome()).toBe("nothing");
    const second = connect().greet(headers(1, request, 0), data(1, message(100, 99_000), false));
    expect(await second.outcome()).toBe("stream ENHANCE_YOUR_CALM");
  });

  test("is not spent on what is only announced", async () => {
    const { connect, server } = await useHttp2Server({}, { maxHeldBytes: 2 ** 31 });
    await connect()
      .greet(headers(1, request, 0), data(1, message(100, 2 ** 31 - 1), false))
      .settled();
    expect(server.heldBytes).toBeLessThanOrEqual(2 ** 20);
  });

  test("is not spent on a call that was answered before its content came", async () => {
    const { connect, server, streams } = await useHttp2Server();
    const client = connect().greet(headers(1, request, 0));
    await client.settled();
    streams[0]!.respond({ ":status": 200, "grpc-status": 7 }, { endStream: true });
    expect(readUint32((await client.frame(FrameType.RST_STREAM)).payload, 0)).toBe(0);
    await client.send(data(1, message(1_000_000), false), data(1, message(10))).settled();
    expect(server.heldBytes).toBe(0);
    await client.send(headers(3)).settled();
    expect(client.fields.get(3)).toEqual([":status", "200"]);
  });
});

describe("a client that", () => {
  const soon = { sweepMs: 10 };
  const end = (client: RawClient) => client.closed();

  test("connects and says nothing is left", async () => {
    const { connect, server } = await useHttp2Server({ ...soon, handshakeMs: 30 });
    await end(connect());
    await expect.poll(() => server.connections.size).toBe(0);
  });

  test("begins headers and does not end them is left", async () => {
    const { connect } = await useHttp2Server({ ...soon, handshakeMs: 30 });
    const client = connect().greet(frame(FrameType.HEADERS, 0, 1));
    expect(readUint32((await client.frame(FrameType.GOAWAY)).payload, 4)).toBe(0xb);
    await end(client);
  });

  test("has no calls, or has calls that are open and quiet, is kept", async () => {
    const { connect, streams } = await useHttp2Server({ ...soon, handshakeMs: 30, stallMs: 30, keepAliveMs: 0 });
    const client = connect().greet(headers(1, request, 0));
    await client.settled();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(streams[0]!.closed).toBe(false);
    await client.send(data(1, message(1))).settled();
    expect(client.fields.get(1)).toContain("grpc-status");
  });

  test("begins a message and does not go on loses the call, not the connection", async () => {
    const { connect, server } = await useHttp2Server({ ...soon, stallMs: 50 });
    const client = connect().greet(headers(1, request, 0), data(1, message(10, 1000), false));
    expect(readUint32((await client.frame(FrameType.RST_STREAM)).payload, 0)).toBe(8);
    expect(server.heldBytes).toBe(0);
    await client.send(headers(3)).settled();
    expect(client.fields.get(3)).toEqual([":status", "200"]);
  });

  test("sends a message a byte at a time, for ever, loses the call", async () => {
    const { connect } = await useHttp2Server({ ...soon, stallMs: 100 });
    const client = connect().greet(headers(1, request, 0), data(1, message(10, 1000), false));
    const drip = setInterval(() => client.send(data(1, "00", false)), 10);
    const { payload } = await client.frame(FrameType.RST_STREAM);
    clearInterval(drip);
    expect(readUint32(payload, 0)).toBe(8);
  });

  test("gives no window for an answer loses the call", async () => {
    const { connect } = await useHttp2Server({ ...soon, stallMs: 50 });
    const client = connect().greet(
      setting(Setting.INITIAL_WINDOW_SIZE, 0),
      headers(1, request, 0),
      data(1, message(3)),
    );
    expect(readUint32((await client.frame(FrameType.RST_STREAM)).payload, 0)).toBe(8);
  });

  test("does not read is left, and costs no more than the backlog until then", async () => {
    const limits = { ...soon, stallMs: 300, socketBacklogBytes: 100_000 };
    const { connect, server } = await useHttp2Server(limits);
    const client = connect();
    client.socket.pause();
    client.greet(setting(Setting.INITIAL_WINDOW_SIZE, 2 ** 30), windowUpdate(0, 2 ** 30));
    client.send(calls(20, (id) => Buffer.concat([headers(id, request, 0), data(id, message(1_000_000))])));
    await expect.poll(() => [...server.connections].some(({ isBackedUp }) => isBackedUp)).toBe(true);
    const [connection] = server.connections;
    expect(connection!.socket.writableLength).toBeLessThan(200_000);
    await expect.poll(() => server.connections.size).toBe(0);
  });

  test("sends calls and reads no answers is not read either", async () => {
    const limits = { socketBacklogBytes: 20_000 };
    const { connect, server, streams } = await useHttp2Server(limits);
    const client = connect();
    client.socket.pause();
    client.greet();
    // Many times as much comes out as goes in.
    client.send(calls(5000, (id) => headers(id, [...request, "x-answer", "4000"])));
    await expect.poll(() => [...server.connections].some(({ socket }) => socket.isPaused())).toBe(true);
    expect(streams.length).toBeLessThan(5000);
  });

  test("is silent is asked whether it is there, and left if it does not say so", async () => {
    const { connect } = await useHttp2Server({ ...soon, keepAliveMs: 30, keepAliveTimeoutMs: 100 });
    const answering = connect().greet();
    const asked = await answering.frame(FrameType.PING, ({ flags }) => flags === 0);
    answering.send(frame(FrameType.PING, Flag.ACK, 0, asked.payload));
    const silent = connect().greet();
    await end(silent);
    expect(silent.frames.some(({ type }) => type === FrameType.PING)).toBe(true);
  });

  test("comes when there are as many as may be is told so, until one has left", async () => {
    const { connect, server } = await useHttp2Server({}, { maxConnections: 2 });
    const drops: unknown[] = [];
    server.on("drop", ({ remoteAddress }) => drops.push(remoteAddress));
    const [first, second] = [connect().greet(), connect().greet()];
    await Promise.all([first.settled(), second.settled()]);
    const third = connect().greet(headers(1));
    expect(await third.outcome()).toBe(calm);
    expect((await third.frame(FrameType.GOAWAY)).payload.subarray(8).toString()).toBe("too many connections");
    await end(third);
    expect(third.fields.size).toBe(0);
    expect(drops).toEqual(["127.0.0.1"]);
    first.socket.destroy();
    await expect.poll(() => server.connections.size).toBe(1);
    const fourth = connect().greet(headers(1));
    expect(await fourth.outcome()).toBe("answered");
    expect(await second.outcome()).toBe("nothing");
  });

  test(
    "comes by the hundred beyond the limit costs no more than those that are told",
    attack("opens more connections than there may be", "300 connections to a server that takes 2"),
    async () => {
      const { connect, server } = await useHttp2Server({}, { maxConnections: 2 });
      let drops = 0;
      server.on("drop", () => drops++);
      const kept = [connect().greet(), connect().greet()];
      await Promise.all(kept.map((client) => client.settled()));
      const refused = Array.from({ length: 300 }, () => connect());
      await Promise.all(refused.map((client) => client.closed()));
      expect(drops).toBe(300);
      expect(server.connections.size).toBe(2);
      for (const client of kept) expect(await client.outcome()).toBe("nothing");
      observed(`${drops} of 302 connections closed`);
    },
  );

  test.each(["maxIdleMs", "maxAgeMs"] as const)("has been there for %s is asked to leave", async (limit) => {
    const { connect } = await useHttp2Server({ ...soon, [limit]: 50 });
    const client = connect().greet();
    expect(readUint32((await client.frame(FrameType.GOAWAY)).payload, 4)).toBe(0);
  });
});
