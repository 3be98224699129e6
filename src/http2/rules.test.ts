import { describe, expect, test } from "vitest";
import { CLIENT_PREFACE, Flag, FrameType, Setting } from "./frames.ts";
import {
  block,
  data,
  frame,
  headers,
  integer,
  message,
  request,
  setting,
  settingsFrame,
  string,
  uint32,
  useHttp2Server,
  windowUpdate,
} from "./raw-client.fixture.ts";

/** What RFC 9113 and RFC 7541 demand of a client, each rule broken over a real socket. */

const { END_STREAM, END_HEADERS, PADDED, PRIORITY } = Flag;
const head = END_HEADERS | END_STREAM;
const without = (name: string) => request.filter((_, at) => request[at - (at % 2)] !== name);
const withFields = (...more: string[]) => headers(1, [...request, ...more]);
const open = headers(1, request, 0);
const reset = (streamId: number, code = 8) => frame(FrameType.RST_STREAM, 0, streamId, uint32(code));
const continuation = (streamId: number, flags: number, payload: Uint8Array | string = "") =>
  frame(FrameType.CONTINUATION, flags, streamId, payload);

/** What a client sends after its preface and SETTINGS, and how the server takes it. */
type Case = readonly [rule: string, outcome: string, ...frames: Buffer[]];

const protocolError = "connection PROTOCOL_ERROR";
const sizeError = "connection FRAME_SIZE_ERROR";
const compressionError = "connection COMPRESSION_ERROR";
const flowError = "connection FLOW_CONTROL_ERROR";
const streamClosed = "connection STREAM_CLOSED";
const malformed = "stream PROTOCOL_ERROR";

async function outcomeOf(frames: readonly Buffer[]): Promise<string> {
  const { connect } = await useHttp2Server();
  return connect()
    .greet(...frames)
    .outcome();
}

describe("the beginning of a connection", () => {
  test.each<[string, string, Buffer[]]>([
    ["another protocol", protocolError, [Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")]],
    ["a preface with a wrong last byte", protocolError, [CLIENT_PREFACE.subarray(0, 23), Buffer.of(0)]],
    ["a frame before SETTINGS", protocolError, [CLIENT_PREFACE, open]],
    ["DATA before SETTINGS", protocolError, [CLIENT_PREFACE, data(1, "00")]],
    ["an acknowledgement before SETTINGS", protocolError, [CLIENT_PREFACE, frame(FrameType.SETTINGS, Flag.ACK)]],
    ["a call right behind them", "answered", [CLIENT_PREFACE, settingsFrame, headers(1)]],
  ])("with %s is %s", async (_, outcome, bytes) => {
    const { connect } = await useHttp2Server();
    expect(
      await connect()
        .send(...bytes)
        .outcome(),
    ).toBe(outcome);
  });

  test("may come a byte at a time", async () => {
    const { connect } = await useHttp2Server();
    const client = connect();
    const bytes = Buffer.concat([CLIENT_PREFACE, settingsFrame, open, data(1, message(3))]);
    for (const byte of bytes) {
      client.send(Buffer.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await client.outcome()).toBe("answered");
    expect(client.fields.get(1)).toEqual([":status", "200", "grpc-status", "0"]);
  });
});

const frameRules: readonly Case[] = [
  ["DATA longer than agreed", sizeError, open, frame(FrameType.DATA, 0, 1, Buffer.alloc(2 ** 20 + 1))],
  ["an unknown frame is ignored", "answered", frame(0x42, 0xff, 1, "0102"), headers(1)],
  ["unknown flags are ignored", "answered", frame(FrameType.HEADERS, head | 0xd2, 1, block(request))],
  [
    "the reserved bit of a stream id is ignored",
    "answered",
    frame(FrameType.HEADERS, head, 0x8000_0001, block(request)),
  ],

  ["SETTINGS of a stream", protocolError, frame(FrameType.SETTINGS, 0, 1)],
  ["SETTINGS of five bytes", sizeError, frame(FrameType.SETTINGS, 0, 0, "0001000000")],
  ["an acknowledgement with a payload", sizeError, frame(FrameType.SETTINGS, Flag.ACK, 0, "000100000000")],
  ["SETTINGS_ENABLE_PUSH of 2", protocolError, setting(Setting.ENABLE_PUSH, 2)],
  ["SETTINGS_INITIAL_WINDOW_SIZE of 2^31", flowError, setting(Setting.INITIAL_WINDOW_SIZE, 2 ** 31)],
  ["SETTINGS_MAX_FRAME_SIZE below 16,384", protocolError, setting(Setting.MAX_FRAME_SIZE, 16_383)],
  ["SETTINGS_MAX_FRAME_SIZE of 2^24", protocolError, setting(Setting.MAX_FRAME_SIZE, 2 ** 24)],
  ["an unknown setting is ignored", "answered", setting(0x99, 7), headers(1)],

  ["PING of a stream", protocolError, frame(FrameType.PING, 0, 1, Buffer.alloc(8))],
  ["PING of seven bytes", sizeError, frame(FrameType.PING, 0, 0, Buffer.alloc(7))],
  ["an answer to no ping is ignored", "nothing", frame(FrameType.PING, Flag.ACK, 0, Buffer.alloc(8))],

  ["GOAWAY of a stream", protocolError, frame(FrameType.GOAWAY, 0, 1, Buffer.alloc(8))],
  ["GOAWAY of seven bytes", sizeError, frame(FrameType.GOAWAY, 0, 0, Buffer.alloc(7))],

  ["PUSH_PROMISE", protocolError, open, frame(FrameType.PUSH_PROMISE, END_HEADERS, 1, uint32(2))],

  ["PRIORITY without a stream", protocolError, frame(FrameType.PRIORITY, 0, 0, Buffer.alloc(5))],
  ["PRIORITY of four bytes", sizeError, frame(FrameType.PRIORITY, 0, 1, Buffer.alloc(4))],
  ["PRIORITY that depends on itself", protocolError, frame(FrameType.PRIORITY, 0, 1, "0000000110")],
  ["PRIORITY of a stream to come", "answered", frame(FrameType.PRIORITY, 0, 1, "0000000010"), headers(1)],

  ["RST_STREAM without a stream", protocolError, reset(0)],
  ["RST_STREAM of a stream that never began", protocolError, reset(1)],
  ["RST_STREAM of three bytes", sizeError, open, frame(FrameType.RST_STREAM, 0, 1, "000008")],
  ["RST_STREAM twice", "nothing", open, reset(1), reset(1)],
];

const streamRules: readonly Case[] = [
  ["HEADERS without a stream", protocolError, headers(0)],
  ["HEADERS of an even stream", protocolError, headers(2)],
  ["HEADERS of a lower stream that was left out", protocolError, headers(5), headers(3)],
  ["HEADERS of a stream that has ended", streamClosed, headers(1), headers(1)],
  ["HEADERS after END_STREAM, before the answer", streamClosed, open, data(1, "0000"), headers(1)],
  ["HEADERS of a stream that the client reset", streamClosed, open, reset(1), headers(1)],
  ["streams may be left out", "answered", headers(101)],

  ["DATA without a stream", protocolError, data(0, "00")],
  ["DATA of a stream that never began", protocolError, data(1, "00")],
  ["DATA of a stream that has ended", streamClosed, headers(1), data(1, "00")],
  ["DATA of a stream that the client reset", streamClosed, open, reset(1), data(1, "00")],
  ["DATA with more padding than payload", protocolError, open, frame(FrameType.DATA, PADDED, 1, "03aabb")],
  ["DATA with nothing but padding", "answered", open, frame(FrameType.DATA, PADDED | END_STREAM, 1, "020000")],
  ["DATA with a padding flag and no byte", sizeError, open, frame(FrameType.DATA, PADDED, 1)],
  [
    "padding is no content",
    "answered",
    open,
    frame(FrameType.DATA, PADDED | END_STREAM, 1, Buffer.concat([Buffer.of(4), message(3), Buffer.alloc(4, 9)])),
  ],

  ["WINDOW_UPDATE of nothing, for the connection", protocolError, windowUpdate(0, 0)],
  ["WINDOW_UPDATE of nothing, for a stream", malformed, open, windowUpdate(1, 0)],
  ["WINDOW_UPDATE of three bytes", sizeError, frame(FrameType.WINDOW_UPDATE, 0, 0, "000001")],
  ["WINDOW_UPDATE of a stream that never began", protocolError, windowUpdate(1, 1)],
  ["WINDOW_UPDATE of a stream that has ended is late", "answered", headers(1), windowUpdate(1, 1)],
  ["a connection's window beyond 2^31 - 1", flowError, windowUpdate(0, 2 ** 31 - 1)],
  ["a stream's window beyond 2^31 - 1", "stream FLOW_CONTROL_ERROR", open, windowUpdate(1, 2 ** 31 - 1)],
  [
    "a stream's window that settings push beyond 2^31 - 1",
    flowError,
    open,
    windowUpdate(1, 2 ** 31 - 1 - 65_535),
    setting(Setting.INITIAL_WINDOW_SIZE, 65_536),
  ],
];

const headerRules: readonly Case[] = [
  ["HEADERS with more padding than payload", protocolError, frame(FrameType.HEADERS, head | PADDED, 1, "05aabb")],
  ["HEADERS with a padding flag and no byte", sizeError, frame(FrameType.HEADERS, head | PADDED, 1)],
  ["HEADERS with a priority cut off", sizeError, frame(FrameType.HEADERS, head | PRIORITY, 1, "00000000")],
  [
    "HEADERS that depend on themselves",
    protocolError,
    frame(FrameType.HEADERS, head | PRIORITY, 1, Buffer.concat([Buffer.of(0, 0, 0, 1, 16), block(request)])),
  ],
  [
    "padding and priority are no headers",
    "answered",
    frame(
      FrameType.HEADERS,
      head | PADDED | PRIORITY,
      1,
      Buffer.concat([Buffer.of(2, 0, 0, 0, 0, 16), block(request), Buffer.alloc(2)]),
    ),
  ],
  ["CONTINUATION of nothing", protocolError, continuation(1, END_HEADERS)],
  ["CONTINUATION after complete headers", protocolError, open, continuation(1, END_HEADERS)],
  [
    "headers in pieces",
    "answered",
    frame(FrameType.HEADERS, END_STREAM, 1, block(request).subarray(0, 20)),
    continuation(1, 0, block(request).subarray(20, 40)),
    continuation(1, END_HEADERS, block(request).subarray(40)),
  ],
  [
    "another stream's CONTINUATION",
    protocolError,
    frame(FrameType.HEADERS, END_STREAM, 1),
    continuation(3, END_HEADERS),
  ],
  [
    "a PING inside headers",
    protocolError,
    frame(FrameType.HEADERS, 0, 1),
    frame(FrameType.PING, 0, 0, Buffer.alloc(8)),
  ],
  ["DATA inside headers", protocolError, frame(FrameType.HEADERS, 0, 1), data(1, "00")],
  ["an unknown frame inside headers", protocolError, frame(FrameType.HEADERS, 0, 1), frame(0x42)],
  ["HEADERS inside headers", protocolError, frame(FrameType.HEADERS, 0, 1), headers(3)],

  ["no headers at all", malformed, frame(FrameType.HEADERS, head, 1)],
  ["no :method", malformed, headers(1, without(":method"))],
  ["no :scheme", malformed, headers(1, without(":scheme"))],
  ["no :path", malformed, headers(1, without(":path"))],
  ["no :authority", "answered", headers(1, without(":authority"))],
  ["an empty :path", malformed, headers(1, [...without(":path"), ":path", ""])],
  ["a :path without its slash", malformed, headers(1, [":path", "test", ...without(":path")])],
  [":path twice", malformed, headers(1, [":path", "/other", ...request])],
  ["an unknown pseudo-header", malformed, headers(1, [":other", "x", ...request])],
  ["a response's pseudo-header", malformed, headers(1, [":status", "200", ...request])],
  ["a pseudo-header behind the others", malformed, headers(1, [...without(":path"), ":path", "/test"])],
  ["CONNECT with a path", malformed, headers(1, [":method", "CONNECT", ...without(":method")])],
  ["a capital in a name", malformed, withFields("Name", "x")],
  ["a name with a space", malformed, withFields("na me", "x")],
  ["an empty name", malformed, withFields("", "x")],
  ["a name with a colon inside", malformed, withFields("na:me", "x")],
  ["a value with a zero byte", malformed, withFields("name", "a\0b")],
  ["a value with a line break", malformed, withFields("name", "a\r\nb: c")],
  ["a value that begins with a space, which is taken off", "answered", withFields("name", " a")],
  ["a value that ends with a tab", "answered", withFields("name", "a\t")],
  ["a value of high bytes", "answered", withFields("name", "\xe4\xf6")],
  ...["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"].map(
    (name): Case => [`${name}, which is HTTP/1.1's`, malformed, withFields(name, "x")],
  ),
  ["te that is not trailers", malformed, headers(1, [...without("te"), "te", "gzip"])],

  ["content-length that is no number", malformed, withFields("content-length", "3x")],
  ["content-length twice and different", malformed, withFields("content-length", "3", "content-length", "4")],
  ["content-length without content", malformed, withFields("content-length", "3")],
  [
    "less content than content-length",
    malformed,
    headers(1, [...request, "content-length", "9"], 0),
    data(1, message(3)),
  ],
  [
    "more content than content-length",
    malformed,
    headers(1, [...request, "content-length", "7"], 0),
    data(1, message(3), false),
  ],
  ["as much as content-length", "answered", headers(1, [...request, "content-length", "8"], 0), data(1, message(3))],

  ["trailers", "answered", open, data(1, message(3), false), headers(1, ["trailer", "x"])],
  ["trailers that end nothing", malformed, open, headers(1, ["trailer", "x"], 0)],
  ["trailers with a pseudo-header", malformed, open, headers(1, [":path", "/x"])],
  ["trailers with a capital", malformed, open, headers(1, ["Trailer", "x"])],
];

const compressionRules: readonly Case[] = (
  [
    ["an index of zero", "80"],
    ["an index beyond the tables", "be"],
    ["an index that overflows", "ffffffffff7f"],
    ["an index without its end", "ff80"],
    ["a string longer than the block", "00056162"],
    ["a string without its length", "00"],
    ["a length that overflows", "007fffffffff7f61"],
    ["Huffman padding of eight bits", "00816103ff"],
    ["Huffman padding of zeros", "0001618100"],
    ["Huffman's end of string", "00016184ffffffff"],
    ["a table size beyond the agreed", "3fe21f"],
    ["a table size after a header", "8220"],
  ] as const
).map(([rule, bytes]): Case => [rule, compressionError, frame(FrameType.HEADERS, head, 1, bytes)]);

describe("a frame that breaks a rule", () => {
  for (const [rule, outcome, ...frames] of [...frameRules, ...streamRules]) {
    test(`${rule}: ${outcome}`, async () => {
      expect(await outcomeOf(frames)).toBe(outcome);
    });
  }
});

describe("headers that break a rule", () => {
  for (const [rule, outcome, ...frames] of [...headerRules, ...compressionRules]) {
    test(`${rule}: ${outcome}`, async () => {
      expect(await outcomeOf(frames)).toBe(outcome);
    });
  }

  test("end their stream alone: the next one is answered", async () => {
    const { connect } = await useHttp2Server();
    const client = connect().greet(headers(1, ["x", "y"]), headers(3));
    await client.settled();
    expect(client.fields.get(3)).toEqual([":status", "200"]);
  });

  test("leave the table as the client has it", async () => {
    const { connect, streams } = await useHttp2Server();
    // The malformed block indexes a field that the next one refers to.
    const indexed = Buffer.concat([Buffer.of(0x40), string("x-mine"), string("yes")]);
    const first = frame(FrameType.HEADERS, head, 1, Buffer.concat([indexed, block(["Bad", "x"])]));
    const second = frame(FrameType.HEADERS, head, 3, Buffer.concat([block(request), integer(62, 7, 0x80)]));
    await connect().greet(first, second).settled();
    expect(streams).toHaveLength(1);
  });

  test("are told in GOAWAY in words", async () => {
    const { connect } = await useHttp2Server();
    const client = connect().greet(data(1, "00"));
    const { payload } = await client.frame(FrameType.GOAWAY);
    expect(payload.toString("latin1", 8)).toBe("DATA of a stream that never began");
    await client.closed();
  });
});
