import { describe, expect, test } from "vitest";
import { Flag, FrameType, MAX_STREAM_ID, readUint32 } from "./frames.ts";
import { data, frame, headers, message, type RawClient, request, useHttp2Server } from "./raw-client.fixture.ts";

/** How connections end without losing a call. */

function goaways(client: RawClient): { lastStreamId: number; code: number }[] {
  return client.frames
    .filter(({ type }) => type === FrameType.GOAWAY)
    .map(({ payload }) => ({ lastStreamId: readUint32(payload, 0), code: readUint32(payload, 4) }));
}

async function answerPing(client: RawClient): Promise<void> {
  const { payload } = await client.frame(FrameType.PING, ({ flags }) => flags === 0);
  client.send(frame(FrameType.PING, Flag.ACK, 0, payload));
}

describe("a connection that is closed", () => {
  test("says so twice, takes what was on its way, and lets calls end", async () => {
    const { connect, server } = await useHttp2Server();
    const client = connect().greet(headers(1, request, 0));
    await client.settled();
    const [connection] = server.connections;
    let isDone = false;
    connection!.close(() => {
      isDone = true;
    });
    await client.frame(FrameType.GOAWAY);
    // A call that the client began before it read that.
    client.send(headers(3, request, 0));
    await answerPing(client);
    await client.frame(FrameType.GOAWAY, ({ payload }) => readUint32(payload, 0) === 3);
    // One that it began after.
    await client.send(headers(5), data(3, message(3)), data(1, message(3))).closed();
    expect(goaways(client)).toEqual([
      { lastStreamId: MAX_STREAM_ID, code: 0 },
      { lastStreamId: 3, code: 0 },
    ]);
    expect([...client.fields.keys()]).toEqual([3, 1]);
    await expect.poll(() => isDone).toBe(true);
  });

  test("does not wait for ever for a client that answers no ping", async () => {
    const { connect, server } = await useHttp2Server({ sweepMs: 20 });
    const client = connect().greet();
    await client.settled();
    for (const connection of server.connections) connection.close();
    await client.closed();
    expect(goaways(client)).toHaveLength(2);
  });

  test("after an error says which stream was the last, and tells the calls", async () => {
    const { connect, streams } = await useHttp2Server();
    const client = connect().greet(headers(7, request, 0), frame(FrameType.PING, 0, 0, Buffer.alloc(3)));
    await client.closed();
    expect(goaways(client)).toEqual([{ lastStreamId: 7, code: 6 }]);
    expect(streams[0]!.closed).toBe(true);
    expect(streams[0]!.rstCode).toBe(6);
  });

  test("by the client ends its calls", async () => {
    const { connect, streams, server } = await useHttp2Server();
    const client = connect().greet(headers(1, request, 0));
    await client.settled();
    client.socket.destroy();
    await expect.poll(() => streams[0]!.closed).toBe(true);
    expect(streams[0]!.rstCode).toBe(8);
    expect(server.connections.size).toBe(0);
  });
});

describe("a server that is closed", () => {
  test("is closed when its connections are", async () => {
    const { connect, server } = await useHttp2Server();
    const client = connect().greet();
    await client.settled();
    let isClosed = false;
    server.close(() => {
      isClosed = true;
    });
    for (const connection of server.connections) connection.close();
    await answerPing(client);
    await client.closed();
    await expect.poll(() => isClosed).toBe(true);
  });
});
