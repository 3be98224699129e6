import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { ConnectionError } from "./connection-error.ts";
import { FloodGuard } from "./flood-guard.ts";
import { FrameParser, type FrameSink } from "./frame-parser.ts";
import { FrameWriter } from "./frame-writer.ts";
import {
  DEFAULT_WINDOW_BYTES,
  ErrorCode,
  Flag,
  FrameType,
  MAX_STREAM_ID,
  MAX_WINDOW_BYTES,
  readUint31,
  readUint32,
} from "./frames.ts";
import { HeadReader } from "./head-reader.ts";
import { HeaderAssembler } from "./header-assembler.ts";
import type { ConnectionLimits } from "./limits.ts";
import { MemoryBudget } from "./memory-budget.ts";
import { type PingDone, PingPong } from "./ping-pong.ts";
import { applySettings, encodeSettings } from "./settings.ts";
import { Stream } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";

/** Between the two GOAWAYs of a graceful end, at most. */
const GOAWAY_PAUSE_MS = 1000;
/** How long a client may take to close a connection that we have ended. */
const LINGER_MS = 1000;
/** What a stream may send before the next one's turn. */
const QUANTUM_BYTES = 64 * 1024;

/**
 * How far the end of a connection has come. Each follows the one before:
 *
 * - none: calls are taken
 * - announced: the client was asked to stop; what it sends until it has read that is still taken
 * - named: the client knows which call was the last; those that run go on
 * - over: nothing is read any more; the client may still read
 */
type Ending = "none" | "announced" | "named" | "over";

/**
 * One HTTP/2 connection, the server's side (RFC 9113). It also is what grpc-js takes for a session of node:http2: it
 * has the parts of one that grpc-js uses, under the same names. Emits `close`.
 */
export class Connection extends EventEmitter implements FrameSink {
  readonly socket: Socket;
  readonly limits: ConnectionLimits;
  readonly budget: MemoryBudget;
  readonly writer: FrameWriter;
  /** What we may still send to the client, on all streams together. */
  sendWindow = DEFAULT_WINDOW_BYTES;
  /** The time of what is being handled, monotonic, ms. */
  nowMs = performance.now();
  destroyed = false;
  /** Why the connection was ended, where the client broke a rule or a limit. */
  failure: ConnectionError | null = null;

  readonly #onStream: (stream: Stream) => void;
  readonly #streams = new StreamTable();
  readonly #parser: FrameParser;
  readonly #assembler: HeaderAssembler;
  readonly #heads: HeadReader;
  readonly #guard = new FloodGuard();
  readonly #pings = new PingPong();
  /** Streams with content that could be sent if the connection or the socket let them. */
  readonly #awake = new Set<Stream>();

  #receiveWindow = DEFAULT_WINDOW_BYTES;
  /** Received, and not yet given back to the client's window. */
  #owedBytes = 0;
  #areSettingsSeen = false;
  #isReadingPaused = false;
  #ending: Ending = "none";
  readonly #closeListeners: (() => void)[] = [];
  /** When the next step of the ending is taken without the client. */
  #endingDueMs = Number.POSITIVE_INFINITY;
  readonly #beganMs = this.nowMs;
  #heardMs = this.nowMs;
  #callEndedMs = this.nowMs;
  #socketMovedMs = this.nowMs;

  // The DATA frame being read; its stream is undefined where nobody wants it.
  #dataStream: Stream | undefined;
  #dataFlags = 0;
  #dataLength = 0;

  /** @param budget of all connections together */
  constructor(socket: Socket, limits: ConnectionLimits, budget: MemoryBudget, onStream: (stream: Stream) => void) {
    super();
    this.socket = socket;
    this.limits = limits;
    this.budget = new MemoryBudget(limits.maxHeldBytes, budget);
    this.#onStream = onStream;
    this.writer = new FrameWriter(socket, () => this.#onDrained());
    this.#parser = new FrameParser(this, limits.maxFrameBytes, limits.maxHeaderBlockBytes);
    this.#assembler = new HeaderAssembler(limits.maxHeaderBlockBytes, limits.maxContinuations);
    this.#heads = new HeadReader(limits.maxHeaderListBytes);
    // A client that says no more hears no more: gRPC has no half-closed connections.
    for (const event of ["end", "close", "error"]) socket.on(event, () => this.destroy());
    this.writer.ownSettings(encodeSettings(limits));
    const more = limits.connectionWindowBytes - DEFAULT_WINDOW_BYTES;
    if (more > 0) {
      this.#receiveWindow += more;
      this.writer.windowUpdate(0, more);
    }
  }

  get encrypted(): boolean {
    return "encrypted" in this.socket;
  }

  /** Whether the end has begun. */
  get closed(): boolean {
    return this.#ending !== "none";
  }

  /** Whether so much waits for the socket that content has to wait where it is. */
  get isBackedUp(): boolean {
    return this.writer.output.backlogBytes >= this.limits.socketBacklogBytes;
  }

  /** Takes what the socket has read. The buffer may be overwritten afterwards. */
  read(chunk: Buffer, length: number): void {
    if (this.#ending === "over") return;
    this.nowMs = performance.now();
    this.#heardMs = this.nowMs;
    const { output } = this.writer;
    output.isCorked = true;
    try {
      this.#parser.push(chunk, 0, length);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.#fail(error);
    } finally {
      output.isCorked = false;
      output.flush();
    }
    if (!this.#isReadingPaused && output.backlogBytes >= 2 * this.limits.socketBacklogBytes) {
      this.#isReadingPaused = true;
      this.socket.pause();
    }
  }

  // ---- frames ----

  onDataBegin(streamId: number, flags: number, length: number): void {
    this.#verifyOrder(FrameType.DATA, streamId);
    this.#verifyBegun("DATA", streamId);
    if (length > this.#receiveWindow) {
      throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the connection's window");
    }
    this.#receiveWindow -= length;
    this.#dataFlags = flags;
    this.#dataLength = length;
    this.#dataStream = undefined;
    if (length === 0 && (flags & Flag.END_STREAM) === 0) this.#guard.count("empty");
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      // What was on its way when the stream ended has cost window; without that, it is counted.
      if (length === 0) this.#guard.count("empty");
    } else if (stream.isRemoteEnded) {
      throw new ConnectionError(ErrorCode.STREAM_CLOSED, "DATA after the end of its stream");
    } else if (length > stream.receiveWindow) {
      this.failStream(stream, ErrorCode.FLOW_CONTROL_ERROR);
    } else {
      stream.receiveWindow -= length;
      this.#dataStream = stream;
    }
  }

  onData(bytes: Buffer, start: number, end: number): void {
    const stream = this.#dataStream;
    if (stream !== undefined && !stream.isClosed) stream.receive(bytes, start, end);
  }

  onDataEnd(): void {
    this.#owedBytes += this.#dataLength;
    if (this.#owedBytes * 2 >= this.limits.connectionWindowBytes) {
      this.#receiveWindow += this.#owedBytes;
      this.writer.windowUpdate(0, this.#owedBytes);
      this.#owedBytes = 0;
    }
    const stream = this.#dataStream;
    if (stream === undefined || stream.isClosed) return;
    if ((this.#dataFlags & Flag.END_STREAM) !== 0) stream.endRemote();
    else stream.giveBack(this.#dataLength);
  }

  onFrame(type: number, flags: number, streamId: number, payload: Buffer, start: number, end: number): void {
    this.#verifyOrder(type, streamId);
    switch (type) {
      case FrameType.HEADERS:
        this.#onHeaders(flags, streamId, payload, start, end);
        break;
      case FrameType.CONTINUATION:
        this.#onContinuation(flags, payload, start, end);
        break;
      case FrameType.PRIORITY:
        this.#onPriority(streamId, payload, start, end);
        break;
      case FrameType.RST_STREAM:
        this.#onReset(streamId, payload, start, end);
        break;
      case FrameType.SETTINGS:
        this.#onSettings(flags, streamId, payload, start, end);
        break;
      case FrameType.PING:
        this.#onPing(flags, streamId, payload, start, end);
        break;
      case FrameType.GOAWAY:
        this.#onGoaway(streamId, start, end);
        break;
      case FrameType.WINDOW_UPDATE:
        this.#onWindowUpdate(streamId, payload, start, end);
        break;
      case FrameType.PUSH_PROMISE:
        throw protocolError("PUSH_PROMISE from a client"); // section 8.4
      default:
        this.#guard.count("small"); // section 5.5: unknown frames are ignored
    }
  }

  /** What may come now at all (sections 3.4 and 6.10). */
  #verifyOrder(type: number, streamId: number): void {
    if (!this.#areSettingsSeen && type !== FrameType.SETTINGS) throw protocolError("expected SETTINGS first");
    const awaited = this.#assembler.streamId;
    if (type === FrameType.CONTINUATION) {
      if (awaited === 0 || streamId !== awaited) throw protocolError("CONTINUATION of no header block");
    } else if (awaited !== 0) {
      throw protocolError("expected CONTINUATION of a header block");
    }
  }

  /** Section 5.1: frames of a stream that never began are errors; of one that has ended, they are late. */
  #verifyBegun(name: string, streamId: number): void {
    if (streamId === 0) throw protocolError(`${name} without a stream`);
    if (streamId > this.#streams.lastId || isEven(streamId))
      throw protocolError(`${name} of a stream that never began`);
  }

  #onHeaders(flags: number, streamId: number, payload: Buffer, start: number, end: number): void {
    if (isEven(streamId)) throw protocolError("HEADERS: expected an odd stream id");
    const isPadded = (flags & Flag.PADDED) !== 0;
    const priorityBytes = (flags & Flag.PRIORITY) !== 0 ? 5 : 0;
    const from = start + (isPadded ? 1 : 0) + priorityBytes;
    if (from > end) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "HEADERS shorter than their flags say");
    const to = isPadded ? end - payload[start]! : end;
    if (from > to) throw protocolError("HEADERS: more padding than payload");
    const isEndStream = (flags & Flag.END_STREAM) !== 0;
    if ((flags & Flag.END_HEADERS) !== 0) {
      this.#takeBlock(streamId, isEndStream, payload, from, to);
    } else {
      this.#assembler.begin(streamId, isEndStream, this.nowMs);
      this.#assembler.add(payload, from, to);
    }
  }

  #onContinuation(flags: number, payload: Buffer, start: number, end: number): void {
    const { streamId, isEndStream } = this.#assembler;
    this.#assembler.add(payload, start, end);
    if ((flags & Flag.END_HEADERS) === 0) return;
    const block = this.#assembler.take();
    this.#takeBlock(streamId, isEndStream, block, 0, block.length);
  }

  /** A whole header block. Whatever becomes of it, it is decoded, for the table must stay the client's. */
  #takeBlock(streamId: number, isEndStream: boolean, block: Buffer, start: number, end: number): void {
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) {
      if (stream.isRemoteEnded) {
        throw new ConnectionError(ErrorCode.STREAM_CLOSED, "HEADERS after the end of their stream");
      }
      const areValid = this.#heads.readTrailers(block, start, end);
      if (areValid && isEndStream) stream.endRemote();
      else this.failStream(stream, ErrorCode.PROTOCOL_ERROR);
    } else if (streamId > this.#streams.lastId) {
      this.#begin(streamId, isEndStream, block, start, end);
    } else {
      this.#takeLateBlock(streamId, block, start, end);
    }
  }

  #begin(streamId: number, isEndStream: boolean, block: Buffer, start: number, end: number): void {
    const head = this.#heads.read(block, start, end);
    // Section 6.8: the client was told which stream was the last.
    if (this.#ending === "named") return;
    this.#streams.lastId = streamId;
    if (typeof head === "number") {
      this.#refuse(streamId, head);
    } else if (isEndStream && head.contentLength > 0) {
      this.#refuse(streamId, ErrorCode.PROTOCOL_ERROR);
    } else if (this.#streams.size >= this.limits.maxConcurrentStreams) {
      this.#refuse(streamId, ErrorCode.REFUSED_STREAM);
    } else {
      const stream = new Stream(this, streamId, head, isEndStream);
      this.#streams.add(stream);
      this.#onStream(stream);
      if (isEndStream && !stream.isClosed) stream.owner.onEnd();
    }
  }

  /** Of a stream that has ended, or was left out (section 5.1). */
  #takeLateBlock(streamId: number, block: Buffer, start: number, end: number): void {
    this.#heads.readTrailers(block, start, end);
    if (this.#streams.wasReset(streamId)) {
      this.#guard.count("empty");
    } else if (this.#streams.hasEnded(streamId)) {
      throw new ConnectionError(ErrorCode.STREAM_CLOSED, "HEADERS of a stream that has ended");
    } else {
      throw protocolError("HEADERS: expected a stream id larger than those before");
    }
  }

  /** Deprecated (section 5.3.2); only its form is looked at. */
  #onPriority(streamId: number, payload: Buffer, start: number, end: number): void {
    this.#guard.count("small");
    if (streamId === 0) throw protocolError("PRIORITY without a stream");
    verifySize("PRIORITY", end - start, 5);
    if (readUint31(payload, start) === streamId) throw protocolError("PRIORITY: a stream that depends on itself");
  }

  #onReset(streamId: number, payload: Buffer, start: number, end: number): void {
    verifySize("RST_STREAM", end - start, 4);
    this.#verifyBegun("RST_STREAM", streamId);
    const stream = this.#streams.get(streamId);
    this.#guard.count(stream === undefined ? "empty" : "reset");
    stream?.close(readUint32(payload, start));
  }

  #onSettings(flags: number, streamId: number, payload: Buffer, start: number, end: number): void {
    this.#guard.count("settings");
    if (streamId !== 0) throw protocolError("SETTINGS of a stream");
    if ((flags & Flag.ACK) !== 0) {
      verifySize("SETTINGS as an acknowledgement", end - start, 0);
      if (!this.#areSettingsSeen) throw protocolError("expected SETTINGS first");
      return;
    }
    const { settings } = this.writer;
    const before = settings.initialWindowBytes;
    applySettings(settings, payload, start, end);
    this.#areSettingsSeen = true;
    this.writer.acknowledgeSettings();
    // Section 6.9.2: it applies to streams that are open, and may leave them less than nothing.
    const change = settings.initialWindowBytes - before;
    if (change === 0) return;
    for (const stream of this.#streams.values()) {
      if (!stream.widen(change)) {
        throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "SETTINGS: a window beyond 2^31 - 1");
      }
    }
    this.#pumpAwake();
  }

  #onPing(flags: number, streamId: number, payload: Buffer, start: number, end: number): void {
    this.#guard.count("ping");
    if (streamId !== 0) throw protocolError("PING of a stream");
    verifySize("PING", end - start, 8);
    if ((flags & Flag.ACK) === 0) this.writer.ping(payload.subarray(start, end), true);
    else this.#pings.answered(this.nowMs);
  }

  /** The client will answer no calls of ours, and we make none. */
  #onGoaway(streamId: number, start: number, end: number): void {
    this.#guard.count("small");
    if (streamId !== 0) throw protocolError("GOAWAY of a stream");
    if (end - start < 8) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY: expected eight bytes or more");
  }

  #onWindowUpdate(streamId: number, payload: Buffer, start: number, end: number): void {
    this.#guard.count("small");
    verifySize("WINDOW_UPDATE", end - start, 4);
    const bytes = readUint31(payload, start);
    if (streamId === 0) {
      if (bytes === 0) throw protocolError("WINDOW_UPDATE of nothing");
      if (this.sendWindow + bytes > MAX_WINDOW_BYTES) {
        throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "WINDOW_UPDATE: a window beyond 2^31 - 1");
      }
      this.sendWindow += bytes;
    } else {
      this.#verifyBegun("WINDOW_UPDATE", streamId);
      const stream = this.#streams.get(streamId);
      if (stream === undefined) return;
      if (bytes === 0) this.failStream(stream, ErrorCode.PROTOCOL_ERROR);
      else if (!stream.widen(bytes)) this.failStream(stream, ErrorCode.FLOW_CONTROL_ERROR);
    }
    this.#pumpAwake();
  }

  // ---- streams ----

  /** An error of one stream that the client made (section 5.4.2). Too many of them are an attack (CVE-2025-8671). */
  failStream(stream: Stream, code: number): void {
    this.#guard.count("reset");
    stream.reset(code);
  }

  /** The stream has content and a window; it gets its turn when the connection can send. */
  wake(stream: Stream): void {
    this.#awake.add(stream);
  }

  /** Called by a stream at its end. */
  forget(stream: Stream, code: number): void {
    this.#awake.delete(stream);
    this.#streams.remove(stream.id, !stream.isRemoteEnded || code !== ErrorCode.NO_ERROR);
    this.#callEndedMs = this.nowMs;
    if (this.#streams.size === 0 && this.#ending === "named") this.#end();
  }

  #refuse(streamId: number, code: number): void {
    this.#guard.count("reset");
    this.writer.reset(streamId, code);
    this.#streams.remove(streamId, true);
  }

  /** Streams take turns, so that a large answer does not hold up small ones. */
  #pumpAwake(): void {
    while (this.#awake.size > 0) {
      for (const stream of this.#awake) {
        if (this.sendWindow <= 0 || this.isBackedUp) return;
        this.#awake.delete(stream);
        if (stream.pump(QUANTUM_BYTES)) this.#awake.add(stream);
      }
    }
  }

  #onDrained(): void {
    this.#socketMovedMs = performance.now();
    if (this.#isReadingPaused) {
      this.#isReadingPaused = false;
      this.socket.resume();
    }
    if (this.#awake.size === 0) return;
    this.nowMs = this.#socketMovedMs;
    this.#pumpAwake();
  }

  // ---- the end ----

  /** Asks whether the client is there. @returns false where it cannot be asked any more */
  ping(done: PingDone): boolean {
    if (this.#ending === "over") return false;
    this.#pings.sent(performance.now(), done);
    this.writer.ping(PING_PAYLOAD, false);
    return true;
  }

  /** For grpc-js. */
  goaway(code: number, lastStreamId: number = this.#streams.lastId, words?: Buffer): void {
    this.writer.goaway(lastStreamId, code, words);
  }

  /**
   * Takes no further calls and ends when those that run have ended. In two steps, so that no call is lost that is on
   * its way (section 6.8): the first GOAWAY asks the client to stop, a ping goes behind it, and when that is answered
   * the second GOAWAY says which calls were taken.
   */
  close(done?: () => void): void {
    if (done !== undefined) {
      if (this.destroyed) queueMicrotask(done);
      else this.#closeListeners.push(done);
    }
    if (this.#ending !== "none") return;
    this.#ending = "announced";
    this.writer.goaway(MAX_STREAM_ID);
    this.#endingDueMs = performance.now() + GOAWAY_PAUSE_MS;
    this.ping(() => this.#nameLastStream());
  }

  #nameLastStream(): void {
    if (this.#ending !== "announced") return;
    this.#ending = "named";
    this.#endingDueMs = Number.POSITIVE_INFINITY;
    this.writer.goaway(this.#streams.lastId);
    if (this.#streams.size === 0) this.#end();
  }

  /** The client broke a rule: it is told which, and the connection ends (section 5.4.1). */
  #fail(error: ConnectionError): void {
    if (this.#ending === "over") return;
    this.failure = error;
    this.writer.goaway(this.#streams.lastId, error.code, Buffer.from(error.message, "latin1"));
    this.#end(error.code);
  }

  /** Sends what is left, and gives the client a moment to read it and to close. */
  #end(code: number = ErrorCode.NO_ERROR): void {
    this.#ending = "over";
    this.#endingDueMs = performance.now() + LINGER_MS;
    for (const stream of [...this.#streams.values()]) stream.close(code);
    this.writer.output.flush();
    this.socket.end();
    this.socket.resume();
  }

  /** Ends everything now. */
  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.#ending = "over";
    for (const stream of [...this.#streams.values()]) stream.close(ErrorCode.CANCEL);
    this.socket.destroy();
    this.#pings.abandon();
    for (const done of this.#closeListeners.splice(0)) done();
    this.emit("close");
  }

  /** Looks at the clock for everything that must happen in time. Called every `limits.sweepMs`. */
  sweep(nowMs: number): void {
    if (this.destroyed) return;
    this.nowMs = nowMs;
    const { limits } = this;
    if (nowMs >= this.#endingDueMs) {
      if (this.#ending === "announced") this.#nameLastStream();
      else this.destroy();
    } else if (this.#isLate(nowMs)) {
      this.#fail(new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "a client that does not go on"));
    } else if (this.#hasVanished(nowMs)) {
      this.destroy();
    } else {
      for (const stream of this.#streams.values()) {
        if (stream.isBusy && nowMs - stream.movedMs > limits.stallMs) stream.reset(ErrorCode.CANCEL);
      }
      const isIdle = this.#streams.size === 0 && isOver(limits.maxIdleMs, nowMs - this.#callEndedMs);
      if (isIdle || isOver(limits.maxAgeMs, nowMs - this.#beganMs)) this.close();
    }
  }

  /** Whether the client began to speak, or began a header block, and leaves us waiting. */
  #isLate(nowMs: number): boolean {
    const { handshakeMs } = this.limits;
    if (!this.#areSettingsSeen) return nowMs - this.#beganMs > handshakeMs;
    return this.#assembler.streamId !== 0 && nowMs - this.#assembler.beganMs > handshakeMs;
  }

  /** Whether nobody takes what is sent, or answers a ping. */
  #hasVanished(nowMs: number): boolean {
    const { stallMs, keepAliveMs, keepAliveTimeoutMs } = this.limits;
    if (this.socket.writableLength === 0) this.#socketMovedMs = nowMs;
    else if (nowMs - this.#socketMovedMs > stallMs) return true;
    const silentMs = nowMs - this.#heardMs;
    if (isOver(keepAliveMs, silentMs) && this.#areSettingsSeen && this.#pings.oldestMs > nowMs) this.ping(() => {});
    return silentMs > keepAliveTimeoutMs && nowMs - this.#pings.oldestMs > keepAliveTimeoutMs;
  }
}

/** Null bytes around nothing: what a ping carries is of no interest, as long as it comes back. */
const PING_PAYLOAD = Buffer.alloc(8);

function protocolError(words: string): ConnectionError {
  return new ConnectionError(ErrorCode.PROTOCOL_ERROR, words);
}

/** @throws ConnectionError FRAME_SIZE_ERROR */
function verifySize(name: string, found: number, expected: number): void {
  if (found === expected) return;
  throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, `${name}: expected ${expected} bytes, found ${found}`);
}

/** Clients begin streams with odd ids (section 5.1.1); 0 is the connection. */
function isEven(streamId: number): boolean {
  return (streamId & 1) === 0;
}

/** Whether a time has passed that 0 turns off. */
function isOver(limitMs: number, passedMs: number): boolean {
  return limitMs > 0 && passedMs > limitMs;
}
