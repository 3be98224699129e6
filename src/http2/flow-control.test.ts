import { describe, expect, test } from "vitest";
import { Flag, FrameType, readUint32, Setting } from "./frames.ts";
import {
  data,
  frame,
  headers,
  message,
  type RawClient,
  request,
  setting,
  uint32,
  useHttp2Server,
  windowUpdate,
} from "./raw-client.fixture.ts";

/** Windows, in both directions (RFC 9113 section 5.2). The server answers as many bytes as it got. */

/** Bytes of DATA that came on a stream, or on all. */
function received(client: RawClient, streamId?: number): number {
  return client.frames
    .filter((found) => found.type === FrameType.DATA && (streamId === undefined || found.streamId === streamId))
    .reduce((sum, { payload }) => sum + payload.length, 0);
}

function call(streamId: number, bytes: number): Buffer {
  return Buffer.concat([headers(streamId, request, 0), data(streamId, message(bytes - 5))]);
}

describe("what goes out", () => {
  test("stays within a stream's window, and goes on when it is widened", async () => {
    const { connect } = await useHttp2Server();
    const client = connect().greet(setting(Setting.INITIAL_WINDOW_SIZE, 100), call(1, 1000));
    await client.settled();
    expect(received(client)).toBe(100);
    await client.send(windowUpdate(1, 50)).settled();
    expect(received(client)).toBe(150);
    await client.send(windowUpdate(1, 850)).settled();
    expect(received(client)).toBe(1000);
    expect(client.fields.get(1)).toContain("grpc-status");
  });

  test("stays within the connection's window, and streams take turns when it is widened", async () => {
    const { connect } = await useHttp2Server();
    const client = connect().greet(setting(Setting.INITIAL_WINDOW_SIZE, 2 ** 20));
    client.send(call(1, 300_000), call(3, 300_000));
    await client.settled();
    expect(received(client)).toBe(65_535);
    await client.send(windowUpdate(0, 200_000)).settled();
    expect(received(client)).toBe(265_535);
    expect(received(client, 3)).toBeGreaterThan(50_000);
    await client.send(windowUpdate(0, 2 ** 20)).settled();
    expect(received(client, 1)).toBe(300_000);
    expect(received(client, 3)).toBe(300_000);
  });

  test("follows a changed initial window, down to less than nothing and up again", async () => {
    const { connect } = await useHttp2Server();
    const client = connect().greet(setting(Setting.INITIAL_WINDOW_SIZE, 600), call(1, 1000));
    await client.settled();
    expect(received(client)).toBe(600);
    // 600 of 100 have been sent: 500 too much.
    await client.send(setting(Setting.INITIAL_WINDOW_SIZE, 100), windowUpdate(1, 500)).settled();
    expect(received(client)).toBe(600);
    await client.send(windowUpdate(1, 1)).settled();
    expect(received(client)).toBe(601);
    await client.send(setting(Setting.INITIAL_WINDOW_SIZE, 1000)).settled();
    expect(received(client)).toBe(1000);
  });

  test("is cut into frames as large as the client takes", async () => {
    const { connect } = await useHttp2Server();
    const large = setting(Setting.MAX_FRAME_SIZE, 50_000);
    const client = connect().greet(setting(Setting.INITIAL_WINDOW_SIZE, 2 ** 20), windowUpdate(0, 2 ** 20));
    await client.send(call(1, 60_000)).settled();
    const lengths = () =>
      client.frames.filter(({ type }) => type === FrameType.DATA).map(({ payload }) => payload.length);
    expect(lengths()).toEqual([16_384, 16_384, 16_384, 10_848]);
    await client.send(large, call(3, 60_000)).settled();
    expect(lengths().slice(4)).toEqual([50_000, 10_000]);
  });

  test("ends with the stream: nothing more comes after RST_STREAM", async () => {
    const { connect } = await useHttp2Server();
    const client = connect().greet(setting(Setting.INITIAL_WINDOW_SIZE, 100), call(1, 1000));
    await client.settled();
    await client
      .send(frame(FrameType.RST_STREAM, 0, 1, uint32(8)), windowUpdate(1, 5000), windowUpdate(0, 5000))
      .settled();
    expect(received(client)).toBe(100);
  });

  test("long headers come in CONTINUATION", async () => {
    const { connect } = await useHttp2Server();
    const client = connect().greet(headers(1, [...request, "x-answer", "40000"]));
    await client.settled();
    const types = client.frames.filter(({ streamId }) => streamId === 1).map(({ type, flags }) => [type, flags]);
    expect(types).toEqual([
      [FrameType.HEADERS, Flag.END_STREAM],
      [FrameType.CONTINUATION, 0],
      [FrameType.CONTINUATION, Flag.END_HEADERS],
    ]);
  });
});

describe("what comes in", () => {
  const limits = { streamWindowBytes: 1000, connectionWindowBytes: 70_000 };

  test("beyond the stream's window ends the call", async () => {
    const { connect } = await useHttp2Server(limits);
    const client = connect().greet(headers(1, request, 0), data(1, message(1001, 5000), false));
    expect(await client.outcome()).toBe("stream FLOW_CONTROL_ERROR");
  });

  test("beyond the connection's window ends the connection", async () => {
    const { connect } = await useHttp2Server({ ...limits, streamWindowBytes: 100_000 });
    const client = connect().greet(headers(1, request, 0), data(1, message(70_001, 90_000), false));
    expect(await client.outcome()).toBe("connection FLOW_CONTROL_ERROR");
  });

  test("is given back as it is read, padding included", async () => {
    const { connect } = await useHttp2Server(limits);
    const client = connect().greet(headers(1, request, 0));
    const padded = Buffer.concat([Buffer.of(200), message(100, 5000), Buffer.alloc(200)]);
    client.send(frame(FrameType.DATA, Flag.PADDED, 1, padded), data(1, Buffer.alloc(400), false));
    const update = await client.frame(FrameType.WINDOW_UPDATE, ({ streamId }) => streamId === 1);
    expect(readUint32(update.payload, 0)).toBe(padded.length + 400);
  });

  test("for a stream that was reset is given back to the connection", async () => {
    const { connect } = await useHttp2Server(limits);
    const client = connect().greet(headers(1, ["x", "malformed"], 0));
    for (let sent = 0; sent < 40; sent++) client.send(data(1, Buffer.alloc(900), false));
    const given = await client.frame(FrameType.WINDOW_UPDATE, ({ payload }) => readUint32(payload, 0) === 35_100);
    expect(given.streamId).toBe(0);
  });

  test("is not given back while nobody reads", async () => {
    const { connect, streams } = await useHttp2Server(limits);
    const client = connect().greet(headers(1, request, 0));
    await client.settled();
    streams[0]!.pause();
    await client.send(data(1, Buffer.concat([message(300), message(300)]), false)).settled();
    const updates = () =>
      client.frames.filter(({ type, streamId }) => type === FrameType.WINDOW_UPDATE && streamId === 1);
    expect(updates()).toHaveLength(0);
    streams[0]!.resume();
    await client.settled();
    expect(updates()).toHaveLength(1);
  });
});
