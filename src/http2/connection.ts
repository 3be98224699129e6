import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { ConnectionError } from "./connection-error.ts";
import { FloodGuard } from "./flood-guard.ts";
import { FrameWriter } from "./frame-writer.ts";
import { DEFAULT_WINDOW_BYTES, ErrorCode, MAX_STREAM_ID } from "./frames.ts";
import { Inbound } from "./inbound.ts";
import type { ConnectionLimits } from "./limits.ts";
import { MemoryBudget } from "./memory-budget.ts";
import { type PingDone, PingPong } from "./ping-pong.ts";
import { encodeSettings } from "./settings.ts";
import type { Stream } from "./stream.ts";
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
 * has the parts of one that grpc-js uses, under the same names. Emits `close`, and before it `failure`, where the client
 * broke a rule or a limit, with the ConnectionError.
 */
export class Connection extends EventEmitter {
  readonly socket: Socket;
  readonly limits: ConnectionLimits;
  readonly budget: MemoryBudget;
  readonly writer: FrameWriter;
  readonly streams = new StreamTable();
  readonly guard = new FloodGuard();
  readonly pings = new PingPong();
  /** What we may still send to the client, on all streams together. */
  sendWindow = DEFAULT_WINDOW_BYTES;
  /** The time of what is being handled, monotonic, ms. */
  nowMs = performance.now();
  destroyed = false;
  /** Why the connection was ended, where the client broke a rule or a limit. */
  failure: ConnectionError | null = null;

  readonly #inbound: Inbound;
  /** Streams with content that could be sent if the connection or the socket let them. */
  readonly #awake = new Set<Stream>();

  #isReadingPaused = false;
  #ending: Ending = "none";
  readonly #closeListeners: (() => void)[] = [];
  /** When the next step of the ending is taken without the client. */
  #endingDueMs = Number.POSITIVE_INFINITY;
  readonly #beganMs = this.nowMs;
  readonly #maxAgeMs: number;
  #heardMs = this.nowMs;
  #callEndedMs = this.nowMs;
  #socketMovedMs = this.nowMs;

  /** @param budget of all connections together */
  constructor(socket: Socket, limits: ConnectionLimits, budget: MemoryBudget, onStream: (stream: Stream) => void) {
    super();
    this.socket = socket;
    this.limits = limits;
    // Connections that began together must not all come back together.
    this.#maxAgeMs = limits.maxAgeMs * (0.9 + 0.2 * Math.random());
    this.budget = new MemoryBudget(limits.maxHeldBytes, budget);
    this.writer = new FrameWriter(socket, () => this.#onDrained());
    this.#inbound = new Inbound(this, onStream);
    // A client that says no more hears no more: gRPC has no half-closed connections.
    for (const event of ["end", "close", "error"]) socket.on(event, () => this.destroy());
    socket.once("close", () => this.writer.output.close());
    this.writer.ownSettings(encodeSettings(limits));
    this.#inbound.openWindow();
  }

  get encrypted(): boolean {
    return "encrypted" in this.socket;
  }

  /** Whether the client was told which stream was the last, so that further ones are nobody's (section 6.8). */
  get isLastStreamNamed(): boolean {
    return this.#ending === "named";
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
      this.#inbound.push(chunk, 0, length);
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

  // ---- streams ----

  /** An error of one stream that the client made (section 5.4.2). Too many of them are an attack (CVE-2025-8671). */
  failStream(stream: Stream, code: number): void {
    this.guard.count("reset");
    stream.reset(code);
  }

  /** The stream has content and a window; it gets its turn when the connection can send. */
  wake(stream: Stream): void {
    this.#awake.add(stream);
  }

  /** Called by a stream at its end. */
  forget(stream: Stream): void {
    this.#awake.delete(stream);
    this.streams.remove(stream.id, stream.isReset);
    this.#callEndedMs = this.nowMs;
    if (this.streams.size === 0 && this.#ending === "named") this.#end();
  }

  /** Streams take turns, so that a large answer does not hold up small ones. */
  pumpAwake(): void {
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
    this.pumpAwake();
  }

  // ---- the end ----

  /** Asks whether the client is there. @returns false where it cannot be asked any more */
  ping(done: PingDone): boolean {
    if (this.#ending === "over") return false;
    this.pings.sent(performance.now(), done);
    this.writer.ping(PING_PAYLOAD, false);
    return true;
  }

  /** For grpc-js. */
  goaway(code: number, lastStreamId: number = this.streams.lastId, words?: Buffer): void {
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
    this.writer.goaway(this.streams.lastId);
    if (this.streams.size === 0) this.#end();
  }

  /** The client broke a rule: it is told which, and the connection ends (section 5.4.1). */
  #fail(error: ConnectionError): void {
    if (this.#ending === "over") return;
    this.failure = error;
    this.emit("failure", error);
    this.writer.goaway(this.streams.lastId, error.code, Buffer.from(error.message, "latin1"));
    this.#end(error.code);
  }

  /** Sends what is left, and gives the client a moment to read it and to close. */
  #end(code: number = ErrorCode.NO_ERROR): void {
    this.#ending = "over";
    this.#endingDueMs = performance.now() + LINGER_MS;
    for (const stream of [...this.streams.values()]) stream.close(code);
    this.writer.output.flush();
    this.socket.end();
    this.socket.resume();
  }

  /** Ends everything now. @param code what the client is told of its calls; without it there is nobody to tell */
  destroy(code?: number): void {
    if (this.destroyed) return;
    this.destroyed = true;
    const isTold = code !== undefined && this.#ending !== "over";
    this.#ending = "over";
    for (const stream of [...this.streams.values()]) {
      if (isTold) stream.reset(code);
      else stream.close(ErrorCode.CANCEL);
    }
    if (isTold) {
      this.writer.output.flush();
      this.socket.destroySoon();
      setTimeout(() => this.socket.destroy(), LINGER_MS).unref(); // it may not read
    } else {
      this.socket.destroy();
    }
    this.pings.abandon();
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
      for (const stream of this.streams.values()) {
        if (stream.isStalled(nowMs)) stream.reset(ErrorCode.CANCEL);
      }
      const isIdle = this.streams.size === 0 && isOver(limits.maxIdleMs, nowMs - this.#callEndedMs);
      if (isIdle || isOver(this.#maxAgeMs, nowMs - this.#beganMs)) this.close();
    }
  }

  /** Whether the client began to speak, or began a header block, and leaves us waiting. */
  #isLate(nowMs: number): boolean {
    const { handshakeMs } = this.limits;
    const sinceMs = this.#inbound.areSettingsSeen ? this.#inbound.headersBeganMs : this.#beganMs;
    return nowMs - sinceMs > handshakeMs;
  }

  /** Whether nobody takes what is sent, or answers a ping. */
  #hasVanished(nowMs: number): boolean {
    const { stallMs, keepAliveMs, keepAliveTimeoutMs } = this.limits;
    if (this.socket.writableLength === 0) this.#socketMovedMs = nowMs;
    else if (nowMs - this.#socketMovedMs > stallMs) return true;
    const silentMs = nowMs - this.#heardMs;
    if (isOver(keepAliveMs, silentMs) && this.#inbound.areSettingsSeen && this.pings.oldestMs > nowMs)
      this.ping(() => {});
    return silentMs > keepAliveTimeoutMs && nowMs - this.pings.oldestMs > keepAliveTimeoutMs;
  }
}

/** Null bytes around nothing: what a ping carries is of no interest, as long as it comes back. */
const PING_PAYLOAD = Buffer.alloc(8);

/** Whether a time has passed that 0 turns off. */
function isOver(limitMs: number, passedMs: number): boolean {
  return limitMs > 0 && passedMs > limitMs;
}
