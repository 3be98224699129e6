import type { Connection } from "./connection.ts";
import type { Part } from "./frame-writer.ts";
import { ErrorCode, MAX_WINDOW_BYTES, writeUint32 } from "./frames.ts";
import type { FieldList } from "./hpack-encoder.ts";
import { MessageReader, type MessageSink, PREFIX_BYTES } from "./message-reader.ts";
import type { Lent } from "./output.ts";
import type { RequestHead } from "./request-head.ts";

/** The side of a stream that makes something of it: an RPC of grpc-js, or a direct call. */
export interface StreamOwner extends MessageSink {
  /** While true, the client's window is not refilled: it may send what it has, and no more. */
  readonly isPaused: boolean;
  /** The client has said everything. */
  onEnd(): void;
  /** The stream is over: `code` is one of ErrorCode, NO_ERROR where both sides said what they had. */
  onClose(code: number): void;
}

/** On average, of a message that has taken longer than a stall may: 8 kbit/s. */
const MIN_BYTES_PER_MS = 1;
/** A message that goes out in one frame, copied. */
const MAX_SMALL_BYTES = 16 * 1024;

/**
 * One stream, from the client's HEADERS to its end (RFC 9113 section 5.1). It begins open or, where the HEADERS end
 * it, half-closed:
 *
 * ```
 *            client's END_STREAM            our END_STREAM
 *   open ──────────────────────▶ half-closed ─────────────▶ closed
 *     │      isRemoteEnded                                     ▲
 *     │      our END_STREAM: RST_STREAM(NO_ERROR) follows ─────┤
 *     └───── RST_STREAM, of either side; the connection's end ─┘
 * ```
 */
export class Stream {
  readonly id: number;
  readonly connection: Connection;
  readonly head: RequestHead;
  /** Both are set by `giveTo`, before anything comes. */
  owner!: StreamOwner;
  reader!: MessageReader;

  /** What we may still send, less than nothing where the client shrank it (section 6.9.2). */
  sendWindow: number;
  receiveWindow: number;
  isRemoteEnded: boolean;
  isLocalEnded = false;
  isClosed = false;
  isHeadSent = false;
  /** Whether we ended it while the client may not know: its frames may still be on their way. */
  isReset = false;
  /** By the connection's clock, as is `movedMs`: when something last came or went. */
  readonly beganMs: number;
  movedMs: number;

  #receivedBytes = 0;
  /** Where the message that is coming began: the time, and what had been received then. */
  #messageMs = 0;
  #messageBytes = 0;
  /** Received, and not yet given back to the client's window. */
  #owedBytes = 0;
  #parts: Part[] = [];
  #waitingBytes = 0;
  #trailers: FieldList | null = null;
  /** Memory that messages on their way are in; nearly always none. */
  #lent: Lent[] = NONE;

  constructor(connection: Connection, id: number, head: RequestHead, isRemoteEnded: boolean) {
    this.connection = connection;
    this.id = id;
    this.head = head;
    this.isRemoteEnded = isRemoteEnded;
    this.sendWindow = connection.writer.settings.initialWindowBytes;
    this.receiveWindow = connection.limits.streamWindowBytes;
    this.beganMs = connection.nowMs;
    this.movedMs = connection.nowMs;
  }

  giveTo(owner: StreamOwner): void {
    this.owner = owner;
    this.reader = new MessageReader(this.connection.budget, owner);
  }

  /** Content that waits for the client's windows or for the socket. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /**
   * Whether the client leaves us waiting, with memory that is held for it: nothing moves of an answer, or of a message
   * that has begun, or the message comes so slowly that it might as well not.
   */
  isStalled(nowMs: number): boolean {
    const { stallMs } = this.connection.limits;
    if (this.#parts.length > 0 && nowMs - this.movedMs > stallMs) return true;
    if (!this.reader.isInside || this.owner.isPaused) return false;
    const tookMs = nowMs - this.#messageMs;
    const isSlow = tookMs > stallMs && this.#receivedBytes - this.#messageBytes < tookMs * MIN_BYTES_PER_MS;
    return isSlow || nowMs - this.movedMs > stallMs;
  }

  // ---- what the connection tells ----

  /** Some content of a DATA frame. */
  receive(bytes: Buffer, start: number, end: number): void {
    this.movedMs = this.connection.nowMs;
    if (!this.reader.isInside) this.#expectMessage();
    this.#receivedBytes += end - start;
    const { contentLength } = this.head;
    if (contentLength >= 0 && this.#receivedBytes > contentLength) {
      this.connection.failStream(this, ErrorCode.PROTOCOL_ERROR);
    } else if (!this.reader.push(bytes, start, end)) {
      this.reset(ErrorCode.ENHANCE_YOUR_CALM); // RESOURCE_EXHAUSTED, as gRPC reads it
    }
  }

  /** The end of a DATA frame: its bytes, padding included, go back to the client's window, some frames at a time. */
  giveBack(bytes: number): void {
    this.#owedBytes += bytes;
    const window = this.connection.limits.streamWindowBytes;
    if (this.isRemoteEnded || this.isClosed || this.owner.isPaused || this.#owedBytes * 2 < window) return;
    this.receiveWindow += this.#owedBytes;
    this.connection.writer.windowUpdate(this.id, this.#owedBytes);
    this.#owedBytes = 0;
  }

  /** END_STREAM has come. */
  endRemote(): void {
    const { contentLength } = this.head;
    // Section 8.1.1: what does not have the length it claims is malformed.
    if (contentLength >= 0 && contentLength !== this.#receivedBytes) {
      this.connection.failStream(this, ErrorCode.PROTOCOL_ERROR);
    } else {
      this.isRemoteEnded = true;
      this.owner.onEnd();
    }
  }

  /** @returns false where the window would be larger than a window can be */
  widen(bytes: number): boolean {
    if (this.sendWindow + bytes > MAX_WINDOW_BYTES) return false;
    this.sendWindow += bytes;
    if (this.#parts.length > 0 && this.sendWindow > 0) this.connection.wake(this);
    return true;
  }

  // ---- what the owner wants ----

  /** Nobody reads the memory of the messages that were given out any more; it may still be on its way out. */
  recycleSlabs(): void {
    const { output } = this.connection.writer;
    for (const slab of this.reader.takeSlabs()) output.recycle(slab);
  }

  /** Nobody reads one of the messages that were given out any more. */
  releaseMessage(message: Buffer): void {
    const slab = this.reader.releaseMessage(message);
    if (slab !== null) this.connection.writer.output.recycle(slab);
  }

  /** Sends the response's headers; with `isEnd` there is nothing else. */
  sendHead(fields: FieldList, isEnd: boolean): void {
    if (this.isClosed || this.isHeadSent) return;
    this.isHeadSent = true;
    this.connection.writer.headers(this.id, fields, isEnd);
    if (isEnd) this.#endLocal();
  }

  /** Sends content, or lets it wait for the windows. The bytes must not change until `onSent`. */
  sendData(bytes: Buffer, onSent: (() => void) | null = null): void {
    if (this.isClosed || this.isLocalEnded) return;
    this.#wait(bytes, onSent);
    if (this.#parts.length === 1) this.pump(Number.POSITIVE_INFINITY);
  }

  #wait(bytes: Buffer, onSent: (() => void) | null): void {
    if (bytes.length === 0 && this.#parts.length === 0) {
      onSent?.();
      return;
    }
    this.#parts.push({ bytes, sent: 0, onSent });
    this.#waitingBytes += bytes.length;
    this.connection.budget.hold(bytes.length);
    this.movedMs = this.connection.nowMs;
  }

  /** The same from memory that was lent, which is released as soon as nothing reads it any more. */
  sendLent(parts: readonly Buffer[], lent: Lent, onSent: (() => void) | null): void {
    if (this.sendMessage(parts, onSent)) lent.release();
    else if (this.#parts.length === 0) this.connection.writer.output.releaseWhenSent(lent);
    else if (this.#lent === NONE) this.#lent = [lent];
    else this.#lent.push(lent);
  }

  /**
   * Sends one message of gRPC: its prefix and its bytes, uncompressed.
   * @returns whether nothing reads `parts` any more, because they were copied or there is nobody to send them to
   */
  sendMessage(parts: readonly Buffer[], onSent: (() => void) | null): boolean {
    if (this.isClosed || this.isLocalEnded) return true;
    let length = 0;
    for (const part of parts) length += part.length;
    const framed = PREFIX_BYTES + length;
    const { writer } = this.connection;
    const isFirst = this.#parts.length === 0;
    const window = Math.min(this.sendWindow, this.connection.sendWindow, writer.settings.maxFrameBytes);
    if (isFirst && framed <= window && framed <= MAX_SMALL_BYTES && !this.connection.isBackedUp) {
      this.sendWindow -= framed;
      this.connection.sendWindow -= framed;
      writer.smallMessage(this.id, parts, length);
      onSent?.();
      return true;
    }
    const prefix = Buffer.alloc(PREFIX_BYTES);
    writeUint32(prefix, 1, length);
    this.#wait(prefix, length === 0 ? onSent : null);
    for (const [index, part] of parts.entries()) this.#wait(part, index === parts.length - 1 ? onSent : null);
    if (isFirst) this.pump(Number.POSITIVE_INFINITY);
    return false;
  }

  /** Sends headers after the content and ends our side. */
  sendTrailers(fields: FieldList): void {
    if (this.isClosed || this.isLocalEnded) return;
    this.#trailers = fields;
    if (this.#parts.length === 0) this.#finish();
  }

  /** Ends our side without trailers. */
  sendEnd(): void {
    if (this.isClosed || this.isLocalEnded) return;
    this.#trailers = NO_TRAILERS;
    if (this.#parts.length === 0) this.#finish();
  }

  /** Ends both sides at once, without a word more to the client than the code. */
  reset(code: number): void {
    if (this.isClosed) return;
    this.isReset = true;
    this.connection.writer.reset(this.id, code);
    this.close(code);
  }

  /** The owner reads again after a pause. */
  resume(): void {
    this.movedMs = performance.now();
    this.#expectMessage();
    this.giveBack(0);
  }

  /**
   * Sends what the windows allow, at most about `quantum` bytes, so that streams take turns.
   * @returns whether there is more that could be sent at once
   */
  pump(quantum: number): boolean {
    const { connection } = this;
    let left = quantum;
    while (this.#parts.length > 0 && !this.isClosed) {
      const window = Math.min(this.sendWindow, connection.sendWindow);
      if (window <= 0 || connection.isBackedUp) {
        // A stream without a window of its own is woken by WINDOW_UPDATE; the others take turns.
        if (this.sendWindow > 0) connection.wake(this);
        return false;
      }
      if (left <= 0) return true;
      const length = Math.min(this.#waitingBytes, window, connection.writer.settings.maxFrameBytes);
      this.sendWindow -= length;
      connection.sendWindow -= length;
      this.#waitingBytes -= length;
      connection.budget.release(length);
      this.movedMs = connection.nowMs;
      left -= length;
      connection.writer.data(this.id, this.#parts, length);
    }
    if (this.#parts.length > 0) return false;
    this.#letLentGo();
    if (this.#trailers !== null) this.#finish();
    return false;
  }

  /** What is on its way to the kernel still has to get there. */
  #letLentGo(): void {
    const lent = this.#lent;
    if (lent === NONE) return;
    this.#lent = NONE;
    for (const one of lent) this.connection.writer.output.releaseWhenSent(one);
  }

  /** The end, whoever brought it about. */
  close(code: number): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.reader.stop();
    this.#parts = [];
    this.connection.budget.release(this.#waitingBytes);
    this.#waitingBytes = 0;
    this.connection.forget(this);
    this.#letLentGo();
    this.owner.onClose(code);
  }

  #expectMessage(): void {
    this.#messageMs = this.movedMs;
    this.#messageBytes = this.#receivedBytes;
  }

  #finish(): void {
    const trailers = this.#trailers!;
    this.#trailers = null;
    if (trailers === NO_TRAILERS) this.connection.writer.endStream(this.id);
    else this.connection.writer.headers(this.id, trailers, true);
    this.#endLocal();
  }

  #endLocal(): void {
    this.isLocalEnded = true;
    // Section 8.1: a response that is complete asks for no more of the request.
    if (this.isRemoteEnded) this.close(ErrorCode.NO_ERROR);
    else this.reset(ErrorCode.NO_ERROR);
  }
}

const NO_TRAILERS: FieldList = [];
const NONE: Lent[] = [];
