import type { Connection } from "./connection.ts";
import { ConnectionError } from "./connection-error.ts";
import { FrameParser, type FrameSink } from "./frame-parser.ts";
import {
  DEFAULT_WINDOW_BYTES,
  ErrorCode,
  Flag,
  FrameType,
  MAX_WINDOW_BYTES,
  readUint31,
  readUint32,
} from "./frames.ts";
import { HeadReader } from "./head-reader.ts";
import { HeaderAssembler } from "./header-assembler.ts";
import { applySettings } from "./settings.ts";
import { Stream } from "./stream.ts";

/** A call that its client resets sooner was hardly meant. */
const PREMATURE_MS = 1000;

/**
 * What comes in on a connection: each frame is held against the rules of RFC 9113 and goes to the stream, or the part
 * of the connection, that it concerns. A broken rule is thrown as a ConnectionError, or resets a stream.
 */
export class Inbound implements FrameSink {
  /** Whether the client's first frame has come: until then nothing else may. */
  areSettingsSeen = false;

  readonly #connection: Connection;
  readonly #onStream: (stream: Stream) => void;
  readonly #parser: FrameParser;
  readonly #assembler: HeaderAssembler;
  readonly #heads: HeadReader;
  #receiveWindow = DEFAULT_WINDOW_BYTES;
  /** Received, and not yet given back to the client's window. */
  #owedBytes = 0;

  // The DATA frame being read; its stream is undefined where nobody wants it.
  #dataStream: Stream | undefined;
  #dataFlags = 0;
  #dataLength = 0;

  constructor(connection: Connection, onStream: (stream: Stream) => void) {
    const { limits } = connection;
    this.#connection = connection;
    this.#onStream = onStream;
    this.#parser = new FrameParser(this, limits.maxFrameBytes, limits.maxHeaderBlockBytes);
    this.#assembler = new HeaderAssembler(limits.maxHeaderBlockBytes, limits.maxContinuations);
    this.#heads = new HeadReader(limits.maxHeaderListBytes);
  }

  /** When a header block began that has not ended; infinity where there is none. */
  get headersBeganMs(): number {
    return this.#assembler.streamId === 0 ? Number.POSITIVE_INFINITY : this.#assembler.beganMs;
  }

  /** Lets the client send more than HTTP/2 begins with. */
  openWindow(): void {
    const more = this.#connection.limits.connectionWindowBytes - DEFAULT_WINDOW_BYTES;
    if (more <= 0) return;
    this.#receiveWindow += more;
    this.#connection.writer.windowUpdate(0, more);
  }

  /** @throws ConnectionError */
  push(chunk: Buffer, start: number, end: number): void {
    this.#parser.push(chunk, start, end);
  }

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
    if (length === 0 && (flags & Flag.END_STREAM) === 0) this.#connection.guard.count("empty");
    const stream = this.#connection.streams.get(streamId);
    if (stream === undefined) {
      if (this.#connection.streams.hasEnded(streamId)) {
        throw new ConnectionError(ErrorCode.STREAM_CLOSED, "DATA of a stream that has ended");
      }
      // What was on its way when we ended the stream has cost window; without that, it is counted.
      if (length === 0) this.#connection.guard.count("empty");
    } else if (stream.isRemoteEnded) {
      throw new ConnectionError(ErrorCode.STREAM_CLOSED, "DATA after the end of its stream");
    } else if (length > stream.receiveWindow) {
      this.#connection.failStream(stream, ErrorCode.FLOW_CONTROL_ERROR);
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
    if (this.#owedBytes * 2 >= this.#connection.limits.connectionWindowBytes) {
      this.#receiveWindow += this.#owedBytes;
      this.#connection.writer.windowUpdate(0, this.#owedBytes);
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
        this.#connection.guard.count("small"); // section 5.5: unknown frames are ignored
    }
  }

  /** What may come now at all (sections 3.4 and 6.10). */
  #verifyOrder(type: number, streamId: number): void {
    if (!this.areSettingsSeen && type !== FrameType.SETTINGS) throw protocolError("expected SETTINGS first");
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
    if (streamId > this.#connection.streams.lastId || isEven(streamId))
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
    if (priorityBytes > 0 && readUint31(payload, from - priorityBytes) === streamId) {
      throw protocolError("HEADERS: a stream that depends on itself");
    }
    const isEndStream = (flags & Flag.END_STREAM) !== 0;
    if ((flags & Flag.END_HEADERS) !== 0) {
      this.#takeBlock(streamId, isEndStream, payload, from, to);
    } else {
      this.#assembler.begin(streamId, isEndStream, this.#connection.nowMs);
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
    const stream = this.#connection.streams.get(streamId);
    if (stream !== undefined) {
      if (stream.isRemoteEnded) {
        throw new ConnectionError(ErrorCode.STREAM_CLOSED, "HEADERS after the end of their stream");
      }
      const areValid = this.#heads.readTrailers(block, start, end);
      if (areValid && isEndStream) stream.endRemote();
      else this.#connection.failStream(stream, ErrorCode.PROTOCOL_ERROR);
    } else if (streamId > this.#connection.streams.lastId) {
      this.#begin(streamId, isEndStream, block, start, end);
    } else {
      this.#takeLateBlock(streamId, block, start, end);
    }
  }

  #begin(streamId: number, isEndStream: boolean, block: Buffer, start: number, end: number): void {
    const head = this.#heads.read(block, start, end);
    // Section 6.8: the client was told which stream was the last.
    if (this.#connection.isLastStreamNamed) return;
    this.#connection.streams.lastId = streamId;
    if (typeof head === "number") {
      this.#refuse(streamId, head);
    } else if (isEndStream && head.contentLength > 0) {
      this.#refuse(streamId, ErrorCode.PROTOCOL_ERROR);
    } else if (this.#connection.streams.size >= this.#connection.limits.maxConcurrentStreams) {
      this.#refuse(streamId, ErrorCode.REFUSED_STREAM);
    } else {
      const stream = new Stream(this.#connection, streamId, head, isEndStream);
      this.#connection.streams.add(stream);
      this.#onStream(stream);
      if (isEndStream && !stream.isClosed) stream.owner.onEnd();
    }
  }

  /** Of a stream that has ended, or was left out (section 5.1). */
  #takeLateBlock(streamId: number, block: Buffer, start: number, end: number): void {
    this.#heads.readTrailers(block, start, end);
    if (this.#connection.streams.wasReset(streamId)) {
      this.#connection.guard.count("empty");
    } else if (this.#connection.streams.hasEnded(streamId)) {
      throw new ConnectionError(ErrorCode.STREAM_CLOSED, "HEADERS of a stream that has ended");
    } else {
      throw protocolError("HEADERS: expected a stream id larger than those before");
    }
  }

  /** Deprecated (section 5.3.2); only its form is looked at. */
  #onPriority(streamId: number, payload: Buffer, start: number, end: number): void {
    this.#connection.guard.count("small");
    if (streamId === 0) throw protocolError("PRIORITY without a stream");
    verifySize("PRIORITY", end - start, 5);
    if (readUint31(payload, start) === streamId) throw protocolError("PRIORITY: a stream that depends on itself");
  }

  #onReset(streamId: number, payload: Buffer, start: number, end: number): void {
    verifySize("RST_STREAM", end - start, 4);
    this.#verifyBegun("RST_STREAM", streamId);
    const stream = this.#connection.streams.get(streamId);
    if (stream === undefined) this.#connection.guard.count("empty");
    // Who waited for a while gives up; who did not has another purpose.
    else if (this.#connection.nowMs - stream.beganMs < PREMATURE_MS) this.#connection.guard.count("reset");
    stream?.close(readUint32(payload, start));
  }

  #onSettings(flags: number, streamId: number, payload: Buffer, start: number, end: number): void {
    this.#connection.guard.count("settings");
    if (streamId !== 0) throw protocolError("SETTINGS of a stream");
    if ((flags & Flag.ACK) !== 0) {
      verifySize("SETTINGS as an acknowledgement", end - start, 0);
      if (!this.areSettingsSeen) throw protocolError("expected SETTINGS first");
      return;
    }
    const { settings } = this.#connection.writer;
    const before = settings.initialWindowBytes;
    applySettings(settings, payload, start, end);
    this.areSettingsSeen = true;
    this.#connection.writer.acknowledgeSettings();
    // Section 6.9.2: it applies to streams that are open, and may leave them less than nothing.
    const change = settings.initialWindowBytes - before;
    if (change === 0) return;
    for (const stream of this.#connection.streams.values()) {
      if (!stream.widen(change)) {
        throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "SETTINGS: a window beyond 2^31 - 1");
      }
    }
    this.#connection.pumpAwake();
  }

  #onPing(flags: number, streamId: number, payload: Buffer, start: number, end: number): void {
    const { writer, guard } = this.#connection;
    // Some clients measure the line with a ping at every answer.
    if (writer.expectedPings > 0) writer.expectedPings--;
    else guard.count("ping");
    if (streamId !== 0) throw protocolError("PING of a stream");
    verifySize("PING", end - start, 8);
    if ((flags & Flag.ACK) === 0) writer.ping(payload.subarray(start, end), true);
    else this.#connection.pings.answered(this.#connection.nowMs);
  }

  /** The client will answer no calls of ours, and we make none. */
  #onGoaway(streamId: number, start: number, end: number): void {
    this.#connection.guard.count("small");
    if (streamId !== 0) throw protocolError("GOAWAY of a stream");
    if (end - start < 8) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY: expected eight bytes or more");
  }

  #onWindowUpdate(streamId: number, payload: Buffer, start: number, end: number): void {
    const { writer, guard } = this.#connection;
    // A client that gets many answers sends as many of these, which is no flood.
    if (writer.expectedUpdates > 0) writer.expectedUpdates--;
    else guard.count("small");
    verifySize("WINDOW_UPDATE", end - start, 4);
    const bytes = readUint31(payload, start);
    if (streamId === 0) {
      if (bytes === 0) throw protocolError("WINDOW_UPDATE of nothing");
      if (this.#connection.sendWindow + bytes > MAX_WINDOW_BYTES) {
        throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "WINDOW_UPDATE: a window beyond 2^31 - 1");
      }
      this.#connection.sendWindow += bytes;
    } else {
      this.#verifyBegun("WINDOW_UPDATE", streamId);
      const stream = this.#connection.streams.get(streamId);
      if (stream === undefined) return;
      if (bytes === 0) this.#connection.failStream(stream, ErrorCode.PROTOCOL_ERROR);
      else if (!stream.widen(bytes)) this.#connection.failStream(stream, ErrorCode.FLOW_CONTROL_ERROR);
    }
    this.#connection.pumpAwake();
  }

  #refuse(streamId: number, code: number): void {
    this.#connection.guard.count("reset");
    this.#connection.writer.reset(streamId, code);
    this.#connection.streams.remove(streamId, true);
  }
}

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
