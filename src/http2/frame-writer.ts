import type { Socket } from "node:net";
import { ErrorCode, Flag, FRAME_HEAD_BYTES, FrameType, writeFrameHead as writeHead, writeUint32 } from "./frames.ts";
import { encodedBytesMax, type FieldList, HpackEncoder } from "./hpack-encoder.ts";
import { PREFIX_BYTES } from "./message-reader.ts";
import { Output } from "./output.ts";
import { type ClientSettings, defaultClientSettings } from "./settings.ts";

/** Larger payloads are sent from where they are: copying them would cost more than another entry in the write. */
const MAX_GATHERED_BYTES = 32 * 1024;

/** Clients give windows back at every so many bytes at the least, which is one read of a socket by a slow one. */
const BYTES_PER_UPDATE = 4096;

/** Bytes of which some have been sent. */
export interface Part {
  readonly bytes: Buffer;
  sent: number;
  /** Called when all are on their way; null where nobody asks. */
  readonly onSent: (() => void) | null;
}

/** Writes the frames of one connection (RFC 9113 section 6), in the order in which it is told to. */
export class FrameWriter {
  readonly output: Output;
  /** What the client wants, as it last said. */
  readonly settings: ClientSettings = defaultClientSettings();
  /** WINDOW_UPDATE frames that what was sent can have brought about, and that have not come yet. */
  expectedUpdates = 0;
  /** PING frames likewise, one for each frame of content. */
  expectedPings = 0;
  readonly #encoder = new HpackEncoder();

  constructor(socket: Socket, onDrained: () => void) {
    this.output = new Output(socket, onDrained);
  }

  /** A header block, in as many frames as the client wants it in (section 6.10). */
  headers(streamId: number, fields: FieldList, isEnd: boolean): void {
    const { output } = this;
    output.reserve(FRAME_HEAD_BYTES + encodedBytesMax(fields));
    const start = output.at + FRAME_HEAD_BYTES;
    const end = this.#encoder.encode(fields, output.buffer, start);
    const length = end - start;
    const flags = isEnd ? Flag.END_STREAM : 0;
    if (length <= this.settings.maxFrameBytes) {
      writeHead(output.buffer, output.at, length, FrameType.HEADERS, flags | Flag.END_HEADERS, streamId);
      output.at = end;
    } else {
      this.#longHeaders(streamId, Buffer.from(output.buffer.subarray(start, end)), flags);
    }
  }

  #longHeaders(streamId: number, block: Buffer, flags: number): void {
    const { maxFrameBytes } = this.settings;
    for (let at = 0; at < block.length; at += maxFrameBytes) {
      const piece = block.subarray(at, at + maxFrameBytes);
      const last = at + piece.length === block.length ? Flag.END_HEADERS : 0;
      if (at === 0) this.#frame(FrameType.HEADERS, flags | last, streamId, piece);
      else this.#frame(FrameType.CONTINUATION, last, streamId, piece);
    }
  }

  /** One DATA frame of `length` bytes from the beginning of `parts`; those that are used up are taken out. */
  data(streamId: number, parts: Part[], length: number): void {
    const { output } = this;
    this.#expectAnswers(length);
    const isGathered = length <= MAX_GATHERED_BYTES;
    output.reserve(FRAME_HEAD_BYTES + (isGathered ? length : 0));
    output.at = writeHead(output.buffer, output.at, length, FrameType.DATA, 0, streamId);
    // Told when the frame is complete, for whoever hears it may send something.
    const sent: (() => void)[] = [];
    let left = length;
    while (parts.length > 0 && (left > 0 || parts[0]!.bytes.length === 0)) {
      const part = parts[0]!;
      const end = Math.min(part.bytes.length, part.sent + left);
      if (isGathered) output.at += part.bytes.copy(output.buffer, output.at, part.sent, end);
      else output.attach(part.bytes.subarray(part.sent, end));
      left -= end - part.sent;
      part.sent = end;
      if (end < part.bytes.length) break;
      parts.shift();
      if (part.onSent !== null) sent.push(part.onSent);
    }
    for (const onSent of sent) onSent();
  }

  /** One DATA frame with one whole message of gRPC, whose prefix is made here. */
  smallMessage(streamId: number, parts: readonly Buffer[], length: number): void {
    const { output } = this;
    this.#expectAnswers(length);
    output.reserve(FRAME_HEAD_BYTES + PREFIX_BYTES + length);
    const { buffer } = output;
    let at = writeHead(buffer, output.at, PREFIX_BYTES + length, FrameType.DATA, 0, streamId);
    buffer[at] = 0;
    at = writeUint32(buffer, at + 1, length);
    for (const part of parts) at += part.copy(buffer, at);
    output.at = at;
  }

  /** What a client answers content with: its window and the connection's, again as it takes the bytes, and a ping. */
  #expectAnswers(bytes: number): void {
    this.expectedUpdates += 2 + Math.ceil(bytes / BYTES_PER_UPDATE);
    this.expectedPings++;
  }

  /** An end without content. */
  endStream(streamId: number): void {
    this.#frame(FrameType.DATA, Flag.END_STREAM, streamId, NOTHING);
  }

  reset(streamId: number, code: number): void {
    this.#number(FrameType.RST_STREAM, streamId, code);
  }

  /** @param streamId 0 for the connection */
  windowUpdate(streamId: number, bytes: number): void {
    this.#number(FrameType.WINDOW_UPDATE, streamId, bytes);
  }

  ownSettings(payload: Buffer): void {
    this.#frame(FrameType.SETTINGS, 0, 0, payload);
  }

  /** The client's settings are in force from here on. */
  acknowledgeSettings(): void {
    this.#encoder.limitTable(this.settings.headerTableBytes);
    this.#frame(FrameType.SETTINGS, Flag.ACK, 0, NOTHING);
  }

  ping(payload: Buffer, isAnswer: boolean): void {
    this.#frame(FrameType.PING, isAnswer ? Flag.ACK : 0, 0, payload);
  }

  /** @param words for whoever reads the client's log; Latin-1 */
  goaway(lastStreamId: number, code: number = ErrorCode.NO_ERROR, words: Buffer = NOTHING): void {
    const payload = Buffer.alloc(8 + words.length);
    writeUint32(payload, 0, lastStreamId);
    writeUint32(payload, 4, code);
    words.copy(payload, 8);
    this.#frame(FrameType.GOAWAY, 0, 0, payload);
  }

  #number(type: number, streamId: number, value: number): void {
    const { output } = this;
    output.reserve(FRAME_HEAD_BYTES + 4);
    const at = writeHead(output.buffer, output.at, 4, type, 0, streamId);
    output.at = writeUint32(output.buffer, at, value);
  }

  #frame(type: number, flags: number, streamId: number, payload: Buffer): void {
    const { output } = this;
    output.reserve(FRAME_HEAD_BYTES + payload.length);
    output.at = writeHead(output.buffer, output.at, payload.length, type, flags, streamId);
    output.at += payload.copy(output.buffer, output.at);
  }
}

const NOTHING = Buffer.alloc(0);
