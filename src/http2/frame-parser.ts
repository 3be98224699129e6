import { ConnectionError } from "./connection-error.ts";
import { CLIENT_PREFACE, ErrorCode, Flag, FRAME_HEAD_BYTES, FrameType, readUint31 } from "./frames.ts";

/** Who is told what comes in. Buffers are the reader's and are valid during the call only. */
export interface FrameSink {
  /** A DATA frame begins; `length` is all of it, padding included, as flow control counts. */
  onDataBegin(streamId: number, flags: number, length: number): void;
  /** Some of its content. */
  onData(bytes: Buffer, start: number, end: number): void;
  onDataEnd(): void;
  /** Any other frame, whole, padding included. */
  onFrame(type: number, flags: number, streamId: number, payload: Buffer, start: number, end: number): void;
}

const KEPT_PARTIAL_BYTES = 256;

/**
 * Cuts what a client sends into frames (RFC 9113 section 4.1). The content of DATA goes on piece by piece as it comes;
 * other frames, which are short, are put together first where they come in pieces.
 */
export class FrameParser {
  readonly #sink: FrameSink;
  readonly #maxFrameBytes: number;
  readonly #maxControlBytes: number;
  /** The preface, the head or the payload of a frame that came in pieces. */
  #partial: Buffer = Buffer.allocUnsafeSlow(CLIENT_PREFACE.length);
  #partialBytes = 0;
  #isPrefaceSeen = false;

  // The frame being read; a length of -1 is one whose head has not come.
  #length = -1;
  #type = 0;
  #flags = 0;
  #streamId = 0;
  // Of a DATA frame: what is still to come.
  #contentLeft = 0;
  #paddingLeft = 0;
  #isPadLengthAwaited = false;

  /**
   * @param maxFrameBytes of any frame
   * @param maxControlBytes of a frame that must be held while it comes
   */
  constructor(sink: FrameSink, maxFrameBytes: number, maxControlBytes: number) {
    this.#sink = sink;
    this.#maxFrameBytes = maxFrameBytes;
    this.#maxControlBytes = maxControlBytes;
  }

  /** @throws ConnectionError */
  push(chunk: Buffer, start: number, end: number): void {
    let at = this.#isPrefaceSeen ? start : this.#readPreface(chunk, start, end);
    while (at < end) {
      // After a head the loop looks again whether there is more: what lies behind the end is not ours.
      if (this.#length < 0) at = this.#readHead(chunk, at, end);
      else at = this.#type === FrameType.DATA ? this.#readData(chunk, at, end) : this.#readPayload(chunk, at, end);
    }
  }

  /** Section 3.4. Compared byte by byte, so that whoever speaks something else is told at once. */
  #readPreface(chunk: Buffer, start: number, end: number): number {
    const length = Math.min(CLIENT_PREFACE.length - this.#partialBytes, end - start);
    const isAsExpected =
      CLIENT_PREFACE.compare(chunk, start, start + length, this.#partialBytes, this.#partialBytes + length) === 0;
    if (!isAsExpected) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "expected the preface of HTTP/2");
    this.#partialBytes += length;
    if (this.#partialBytes === CLIENT_PREFACE.length) {
      this.#partialBytes = 0;
      this.#isPrefaceSeen = true;
    }
    return start + length;
  }

  #readHead(chunk: Buffer, start: number, end: number): number {
    let head = chunk;
    let at = start;
    let next = start + FRAME_HEAD_BYTES;
    if (this.#partialBytes > 0 || next > end) {
      next = this.#gather(chunk, start, end, FRAME_HEAD_BYTES);
      if (this.#partialBytes < FRAME_HEAD_BYTES) return next;
      this.#partialBytes = 0;
      head = this.#partial;
      at = 0;
    }
    this.#length = (head[at]! << 16) | (head[at + 1]! << 8) | head[at + 2]!;
    this.#type = head[at + 3]!;
    this.#flags = head[at + 4]!;
    this.#streamId = readUint31(head, at + 5);
    if (this.#length > this.#maxFrameBytes) {
      throw new ConnectionError(
        ErrorCode.FRAME_SIZE_ERROR,
        `a frame: expected at most ${this.#maxFrameBytes} bytes, found ${this.#length}`,
      );
    }
    if (this.#type === FrameType.DATA) this.#beginData();
    else if (this.#length > this.#maxControlBytes) {
      throw new ConnectionError(
        ErrorCode.ENHANCE_YOUR_CALM,
        `a frame that is not DATA: expected at most ${this.#maxControlBytes} bytes, found ${this.#length}`,
      );
    } else if (this.#length === 0) {
      this.#emit(chunk, next, next);
    }
    return next;
  }

  #beginData(): void {
    this.#isPadLengthAwaited = (this.#flags & Flag.PADDED) !== 0;
    if (this.#isPadLengthAwaited && this.#length === 0) {
      throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "DATA: padding without its length");
    }
    this.#contentLeft = this.#length;
    this.#paddingLeft = 0;
    this.#sink.onDataBegin(this.#streamId, this.#flags, this.#length);
    if (this.#length === 0) this.#endData();
  }

  #readData(chunk: Buffer, start: number, end: number): number {
    let at = start;
    if (this.#isPadLengthAwaited) {
      this.#isPadLengthAwaited = false;
      this.#paddingLeft = chunk[at++]!;
      this.#contentLeft -= 1 + this.#paddingLeft;
      // Section 6.1: as long as the payload, or longer.
      if (this.#contentLeft < 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "DATA: more padding than payload");
    }
    const content = Math.min(this.#contentLeft, end - at);
    if (content > 0) {
      this.#contentLeft -= content;
      this.#sink.onData(chunk, at, at + content);
      at += content;
    }
    const padding = Math.min(this.#paddingLeft, end - at);
    this.#paddingLeft -= padding;
    if (this.#contentLeft === 0 && this.#paddingLeft === 0) this.#endData();
    return at + padding;
  }

  #endData(): void {
    this.#length = -1;
    this.#sink.onDataEnd();
  }

  #readPayload(chunk: Buffer, start: number, end: number): number {
    if (this.#partialBytes === 0 && end - start >= this.#length) {
      const next = start + this.#length;
      this.#emit(chunk, start, next);
      return next;
    }
    const next = this.#gather(chunk, start, end, this.#length);
    if (this.#partialBytes === this.#length) {
      this.#partialBytes = 0;
      this.#emit(this.#partial, 0, this.#length);
      // A connection that once had a long frame in pieces must not hold its room for ever.
      if (this.#partial.length > KEPT_PARTIAL_BYTES) this.#partial = Buffer.allocUnsafeSlow(KEPT_PARTIAL_BYTES);
    }
    return next;
  }

  #emit(payload: Buffer, start: number, end: number): void {
    this.#length = -1;
    this.#sink.onFrame(this.#type, this.#flags, this.#streamId, payload, start, end);
  }

  /** Adds to what came in pieces, until there are `wanted` bytes of it. */
  #gather(chunk: Buffer, start: number, end: number, wanted: number): number {
    if (this.#partial.length < wanted) {
      const larger = Buffer.allocUnsafeSlow(Math.max(wanted, KEPT_PARTIAL_BYTES));
      this.#partial.copy(larger, 0, 0, this.#partialBytes);
      this.#partial = larger;
    }
    const length = Math.min(wanted - this.#partialBytes, end - start);
    chunk.copy(this.#partial, this.#partialBytes, start, start + length);
    this.#partialBytes += length;
    return start + length;
  }
}
