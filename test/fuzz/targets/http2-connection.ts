import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { Connection } from "../../../src/http2/connection.ts";
import { CLIENT_PREFACE, FrameType } from "../../../src/http2/frames.ts";
import { encodedBytesMax, HpackEncoder } from "../../../src/http2/hpack-encoder.ts";
import { resolveLimits } from "../../../src/http2/limits.ts";
import { MemoryBudget } from "../../../src/http2/memory-budget.ts";
import type { Stream } from "../../../src/http2/stream.ts";
import { mutateFields } from "../mutate-tree.ts";
import { hold, type Target } from "../target.ts";
import { frame, frames } from "./frames.ts";

/** Small, so that every one of them is reached by short inputs. */
const limits = resolveLimits({
  maxConcurrentStreams: 3,
  streamWindowBytes: 256,
  connectionWindowBytes: 70_000,
  maxHeaderListBytes: 512,
  maxHeaderBlockBytes: 256,
  maxContinuations: 2,
  maxHeldBytes: 512,
});

/**
 * All that a client says on a connection whose calls give back each message that comes. It must not matter in which
 * pieces it comes, and when the connection is over nothing may be held.
 */
export function http2Connection(): Target {
  const head = Buffer.alloc(512);
  const fields = [":method", "POST", ":scheme", "http", ":path", "/a", "te", "trailers", "content-length", "7"];
  const block = head.subarray(0, new HpackEncoder().encode(fields.slice(0, 8), head, 0));
  const sized = Buffer.alloc(encodedBytesMax(fields));
  const sizedBlock = sized.subarray(0, new HpackEncoder().encode(fields, sized, 0));
  const message = Buffer.from([0, 0, 0, 0, 2, 0x6f, 0x6b]);
  const settings = frame(FrameType.SETTINGS, 0, 0, Buffer.alloc(0));
  // SETTINGS_INITIAL_WINDOW_SIZE of 3: answers have to wait.
  const narrow = frame(FrameType.SETTINGS, 0, 0, Buffer.from([0, 4, 0, 0, 0, 3]));
  const conversations = [
    [settings, frame(FrameType.HEADERS, 4, 1, block), frame(FrameType.DATA, 1, 1, message)],
    [
      narrow,
      frame(FrameType.HEADERS, 0, 1, sizedBlock.subarray(0, 4)),
      frame(FrameType.CONTINUATION, 4, 1, sizedBlock.subarray(4)),
      frame(FrameType.DATA, 9, 1, Buffer.concat([Buffer.from([2]), message, Buffer.alloc(2)])),
      frame(FrameType.WINDOW_UPDATE, 0, 1, Buffer.from([0, 0, 0, 4])),
      frame(FrameType.SETTINGS, 1, 0, Buffer.alloc(0)),
      frame(FrameType.PING, 0, 0, Buffer.alloc(8, 1)),
      frame(FrameType.WINDOW_UPDATE, 0, 0, Buffer.from([0, 0, 1, 0])),
    ],
    [
      settings,
      ...[1, 3, 5, 7].map((stream) => frame(FrameType.HEADERS, 5, stream, block)),
      frame(FrameType.RST_STREAM, 0, 5, Buffer.from([0, 0, 0, 8])),
      frame(FrameType.PRIORITY, 0, 3, Buffer.alloc(5)),
      frame(FrameType.GOAWAY, 0, 0, Buffer.alloc(8)),
    ],
  ];
  return {
    codes: [],
    starts: conversations.map((conversation) => frames.format(conversation, (length) => length)),
    mutate: mutateFields(frames),
    maxBytes: 1024,
    run(input) {
      const whole = converse(input, input.length);
      const bytewise = converse(input, 1);
      hold(whole.failure === bytewise.failure, "a connection ends for the same reason in whatever pieces it comes");
      // Of a call that turns out wrong, more may have been answered where it came in pieces.
      const isRight = !hasReset(whole.sent) && !hasReset(bytewise.sent);
      hold(!isRight || whole.sent.equals(bytewise.sent), "the answers are the same in whatever pieces the calls come");
      if (whole.failure !== undefined) return `refused: ${whole.failure}`;
      return whole.answers > 0 ? "accepted" : "refused: no call";
    },
  };
}

function converse(input: Buffer, piece: number) {
  const sent: Buffer[] = [];
  const socket = new Duplex({
    read: () => undefined,
    write(chunk, _encoding, done) {
      sent.push(Buffer.from(chunk));
      done();
    },
  });
  const budget = new MemoryBudget(4096);
  let answers = 0;
  const connection = new Connection(socket as Socket, limits, budget, (stream) => giveBack(stream, () => answers++));
  connection.read(CLIENT_PREFACE, CLIENT_PREFACE.length);
  for (let at = 0; at < input.length; at += piece) {
    const part = input.subarray(at, at + piece);
    connection.read(part, part.length);
  }
  const failure = connection.failure === null ? undefined : `${connection.failure.code} ${connection.failure.message}`;
  connection.destroy();
  hold(budget.heldBytes === 0, "a connection that is over holds nothing");
  return { sent: Buffer.concat(sent), failure, answers };
}

function hasReset(sent: Buffer): boolean {
  return frames.parse(sent)!.some(({ head }) => (head & 0xff) === FrameType.RST_STREAM);
}

/** A call that answers every message with itself. */
function giveBack(stream: Stream, onAnswer: () => void): void {
  stream.giveTo({
    isPaused: false,
    onMessageBegin: () => undefined,
    onMessage(framed) {
      onAnswer();
      stream.sendHead([":status", "200"], false);
      stream.sendMessage([framed.subarray(5, 6), framed.subarray(6)], () => stream.reader.releaseMessages());
    },
    onEnd: () => stream.sendTrailers(["grpc-status", "0"]),
    onClose: () => stream.reader.stop(),
  });
}
