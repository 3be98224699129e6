import { isDeepStrictEqual } from "node:util";
import { ConnectionError } from "../../../src/http2/connection-error.ts";
import { FrameParser } from "../../../src/http2/frame-parser.ts";
import { CLIENT_PREFACE, FRAME_HEAD_BYTES, FrameType } from "../../../src/http2/frames.ts";
import { HeadReader } from "../../../src/http2/head-reader.ts";
import { HpackDecoder } from "../../../src/http2/hpack-decoder.ts";
import { encodedBytesMax, HpackEncoder } from "../../../src/http2/hpack-encoder.ts";
import { MemoryBudget } from "../../../src/http2/memory-budget.ts";
import { MessageReader } from "../../../src/http2/message-reader.ts";
import { readRequestHead } from "../../../src/http2/request-head.ts";
import { mutateBytes } from "../mutate.ts";
import { mutateFields } from "../mutate-tree.ts";
import { hold, type Target } from "../target.ts";
import { frame, frames } from "./frames.ts";

const MAX_FRAME_BYTES = 16_384;
const MAX_CONTROL_BYTES = 512;

/** What a client sends, cut into frames. It must not matter in which pieces it comes. */
export function http2Frames(): Target {
  const start = [
    frame(FrameType.SETTINGS, 0, 0, Buffer.alloc(6)),
    frame(FrameType.HEADERS, 4, 1, "headers"),
    frame(FrameType.DATA, 0, 1, "content"),
    frame(FrameType.DATA, 9, 1, Buffer.from([3, 1, 2, 0, 0, 0])),
    frame(FrameType.PING, 0, 0, Buffer.alloc(8)),
    frame(FrameType.SETTINGS, 1, 0, ""),
  ];
  return {
    codes: [],
    starts: [frames.format(start, (length) => length), Buffer.alloc(FRAME_HEAD_BYTES)],
    mutate: mutateFields(frames),
    maxBytes: 1024,
    run(input) {
      const whole = readFrames(input, () => input.length);
      const bytewise = readFrames(input, () => 1);
      const pieces = readFrames(input, (at) => 1 + (input[at]! % 23));
      hold(isDeepStrictEqual(whole, bytewise), "frames are the same when they come byte by byte");
      hold(isDeepStrictEqual(whole, pieces), "frames are the same in whatever pieces they come");
      return whole.failure ?? "accepted";
    },
  };
}

function readFrames(input: Buffer, pieceAt: (at: number) => number) {
  const events: unknown[] = [];
  let content: Buffer[] = [];
  const parser = new FrameParser(
    {
      onDataBegin: (stream, flags, length) => events.push(["data", stream, flags, length]),
      onData: (bytes, start, end) => content.push(Buffer.from(bytes.subarray(start, end))),
      onDataEnd: () => {
        events.push(["end", Buffer.concat(content).toString("latin1")]);
        content = [];
      },
      onFrame: (type, flags, stream, payload, start, end) =>
        events.push([type, flags, stream, payload.toString("latin1", start, end)]),
    },
    MAX_FRAME_BYTES,
    MAX_CONTROL_BYTES,
  );
  parser.push(CLIENT_PREFACE, 0, CLIENT_PREFACE.length);
  let failure: string | undefined;
  try {
    for (let at = 0; at < input.length; ) {
      const end = Math.min(input.length, at + pieceAt(at));
      parser.push(input, at, end);
      at = end;
    }
  } catch (error) {
    if (!(error instanceof ConnectionError)) throw error;
    failure = `refused: ${error.code} ${error.message}`;
  }
  return { events, unended: Buffer.concat(content).toString("latin1"), failure };
}

/** Header blocks of one connection, one after another. What is remembered must say what is decoded. */
export function http2Headers(): Target {
  const fields = [
    ...[":method", "POST", ":scheme", "http", ":path", "/inference.GRPCInferenceService/ModelInfer"],
    ...[":authority", "localhost", "content-type", "application/grpc", "te", "trailers", "authorization", "Bearer x"],
  ];
  const encoder = new HpackEncoder();
  const block = Buffer.alloc(encodedBytesMax(fields));
  const plain = block.subarray(0, encoder.encode(fields, block, 0));
  const again = Buffer.alloc(encodedBytesMax(fields));
  const indexed = again.subarray(0, encoder.encode(fields, again, 0));
  // RFC 7541 appendix C.4: three requests, with Huffman's code and the table.
  const examples = [
    "828684418cf1e3c2e5f23a6ba0ab90f4ff",
    "828684be5886a8eb10649cbf",
    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
  ].map((hex) => Buffer.from(hex, "hex"));
  return {
    codes: [],
    starts: [inBlocks(examples), inBlocks([plain, indexed, indexed]), inBlocks([Buffer.from("3fe11f8286", "hex")])],
    mutate: mutateBytes,
    maxBytes: 1024,
    run(input) {
      const reader = new HeadReader(MAX_CONTROL_BYTES);
      const decoder = new HpackDecoder(MAX_CONTROL_BYTES);
      let heads = 0;
      try {
        for (const one of blocksOf(input)) {
          const decoded = decoder.decode(one, 0, one.length);
          const head = reader.read(one, 0, one.length);
          const expected = decoded.isTooLarge ? null : readRequestHead(decoded);
          hold(
            typeof head === "number" ? expected === null : isDeepStrictEqual(head, expected),
            "what is remembered is right",
          );
          if (expected !== null) heads++;
          hold(
            isDeepStrictEqual(encodedAgain(decoded.fields), decoded.fields),
            "fields are decoded as they are encoded",
          );
        }
      } catch (error) {
        if (error instanceof ConnectionError) return `refused: ${error.code} ${error.message}`;
        throw error;
      }
      return heads > 0 ? "accepted" : "refused: no head of a request";
    },
  };
}

function encodedAgain(fields: readonly string[]): readonly string[] {
  const target = Buffer.alloc(encodedBytesMax(fields));
  const end = new HpackEncoder().encode(fields, target, 0);
  return new HpackDecoder(2 * MAX_CONTROL_BYTES).decode(target, 0, end).fields;
}

/** A byte for the length before each. */
function inBlocks(blocks: readonly Buffer[]): Buffer {
  return Buffer.concat(blocks.flatMap((block) => [Buffer.from([block.length]), block]));
}

function blocksOf(input: Buffer): Buffer[] {
  const blocks: Buffer[] = [];
  for (let at = 0; at < input.length; at += 1 + input[at]!) blocks.push(input.subarray(at + 1, at + 1 + input[at]!));
  return blocks;
}

/**
 * A stream's content, cut into gRPC's messages. It must not matter in which pieces it comes, and nothing stays held.
 */
export function http2Messages(): Target {
  const message = (text: string) => Buffer.concat([Buffer.from([0, 0, 0, 0, text.length]), Buffer.from(text)]);
  return {
    codes: [],
    starts: [Buffer.concat([message("one"), message(""), message("three")]), Buffer.from([1, 0, 0, 1, 0, 7])],
    mutate: mutateBytes,
    maxBytes: 512,
    run(input) {
      const whole = readMessages(input, input.length);
      hold(isDeepStrictEqual(readMessages(input, 1), whole), "messages are the same when they come byte by byte");
      hold(isDeepStrictEqual(readMessages(input, 7), whole), "messages are the same in whatever pieces they come");
      return whole.messages.length > 0 ? "accepted" : "refused: no whole message";
    },
  };
}

function readMessages(input: Buffer, piece: number) {
  const budget = new MemoryBudget(2048);
  const messages: string[] = [];
  const reader = new MessageReader(budget, {
    onMessageBegin: () => undefined,
    onMessage: (framed) => {
      messages.push(framed.toString("latin1"));
      reader.releaseMessages();
    },
  });
  let isRoom = true;
  for (let at = 0; at < input.length && isRoom; at += piece) {
    isRoom = reader.push(input, at, Math.min(input.length, at + piece));
  }
  const { isInside } = reader;
  reader.stop();
  hold(budget.heldBytes === 0, "what has ended holds nothing");
  return { messages, isRoom, isInside };
}
