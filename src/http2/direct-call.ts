import type { Socket } from "node:net";
import type { Deadline, Deadlines } from "../clock/index.ts";
import { encodeStatusMessage, GrpcStatus } from "./grpc-words.ts";
import type { FieldList } from "./hpack-encoder.ts";
import { type MessageReader, PREFIX_BYTES } from "./message-reader.ts";
import type { Lent } from "./output.ts";
import type { RequestHead } from "./request-head.ts";
import type { StreamOwner } from "./stream.ts";

/** Why a call ended before its handler ended it: the client left, its time is up, or a message was none. */
export type CancelReason = "client" | "deadline" | "message";

/** What a handler is told of a call. Nothing comes after `onCancel`, or after the handler has ended the call. */
export interface DirectReceiver {
  /** One message, without its prefix: the bytes are the handler's, and count against the memory until `release` or the end. */
  onMessage(call: DirectCall, message: Buffer): void;
  /** The client has sent its last message. */
  onEnd(call: DirectCall): void;
  /** Nobody waits for an answer any more. */
  onCancel(call: DirectCall, reason: CancelReason): void;
}

/** The stream that a call is on: a `Stream`, or one of node:http2. */
export interface CallStream {
  readonly head: Pick<RequestHead, "method" | "path" | "get">;
  readonly connection: { readonly socket: Socket };
  /** Monotonic, ms. */
  readonly beganMs: number;
  readonly reader: MessageReader;
  readonly isHeadSent: boolean;
  readonly waitingBytes: number;
  giveTo(owner: StreamOwner): void;
  sendHead(fields: FieldList, isEnd: boolean): void;
  sendMessage(parts: readonly Buffer[], onSent: (() => void) | null): void;
  sendLent(parts: readonly Buffer[], lent: Lent, onSent: (() => void) | null): void;
  sendTrailers(fields: FieldList): void;
  recycleSlabs(): void;
  releaseMessage(message: Buffer): void;
  resume(): void;
}

/**
 * Takes a call whose headers have come, before anything of a message is looked at: the place to find out who calls,
 * and to refuse. Gives back who is told the rest, or ends the call and gives back null.
 */
export type DirectRoute = (call: DirectCall) => DirectReceiver | null;

/** Headers of every answer; trailers follow. */
const responseHead: FieldList = [
  ...[":status", "200", "content-type", "application/grpc+proto"],
  ...["grpc-encoding", "identity", "grpc-accept-encoding", "identity,deflate,gzip"],
];
const trailersOnlyHead: FieldList = [":status", "200", "content-type", "application/grpc+proto"];
const okTrailers: FieldList = ["grpc-status", "0"];
/** Messages that were delivered after a pause, before their list is cut. */
const MIN_FORGOTTEN = 64;

/**
 * One gRPC call that goes from the transport straight to its handler, without grpc-js between: no objects for
 * metadata, no timers, no promises. Messages go in and out as bytes.
 */
export class DirectCall implements StreamOwner, Deadline {
  readonly #stream: CallStream;
  readonly #deadlines: Deadlines;
  #receiver: DirectReceiver | null = null;
  #hasEnded = false;
  /** Messages that came while the handler paused, from `#nextWaiting` on. */
  #waiting: Buffer[] = [];
  #nextWaiting = 0;
  #isEndWaiting = false;
  /** Longer messages end the call; the route may lower it for its caller. */
  maxMessageBytes: number;
  /** When the client gives up, monotonic ms; infinity where it does not. */
  readonly deadlineMs: number;

  bucket = -1;
  previous: Deadline | null = null;
  next: Deadline | null = null;

  constructor(stream: CallStream, deadlines: Deadlines, timeoutMs: number, maxMessageBytes: number) {
    this.#stream = stream;
    this.#deadlines = deadlines;
    this.maxMessageBytes = maxMessageBytes;
    this.deadlineMs = stream.beganMs + timeoutMs;
  }

  get head(): CallStream["head"] {
    return this.#stream.head;
  }

  /** The connection: the same object for all its calls. */
  get session(): { readonly socket: Socket } {
    return this.#stream.connection;
  }

  /** Whether it is over, by whomever. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Content that waits for the client to take it; whoever streams looks at it, or at `onSent`. */
  get waitingBytes(): number {
    return this.#stream.waitingBytes;
  }

  open(route: DirectRoute): void {
    this.#stream.giveTo(this);
    this.#receiver = route(this);
    if (this.#hasEnded) return;
    if (this.#receiver === null) this.end(GrpcStatus.INTERNAL, "nobody took the call");
    else if (this.deadlineMs !== Number.POSITIVE_INFINITY) this.#deadlines.add(this);
  }

  // ---- what the handler does ----

  /** Sends the headers of the answer ahead of its first message, for clients that wait for them. */
  sendHead(): void {
    if (!this.#hasEnded && !this.#stream.isHeadSent) this.#stream.sendHead(responseHead, false);
  }

  /**
   * Sends one message, whose bytes are in `parts`.
   * @param onSent when they are on their way. Until then, and for as long as the socket has them, they must not change.
   */
  sendMessage(parts: readonly Buffer[], onSent: (() => void) | null = null): void {
    if (this.#hasEnded) return;
    this.sendHead();
    this.#stream.sendMessage(parts, onSent);
  }

  /** Sends one message whose bytes are in memory that was lent, which is released as soon as nothing reads it any more. */
  sendLent(parts: readonly Buffer[], lent: Lent, onSent: (() => void) | null = null): void {
    if (this.#hasEnded) {
      lent.release();
      return;
    }
    this.sendHead();
    this.#stream.sendLent(parts, lent, onSent);
  }

  /** Ends the call. @param trailers more of them, names and values by turns; `-bin` ones in base64 */
  end(status: number, message = "", trailers: FieldList | null = null): void {
    if (this.#hasEnded) return;
    this.#finish();
    const isPlain = status === GrpcStatus.OK && message === "" && trailers === null;
    const fields = isPlain ? okTrailers : statusFields(status, message, trailers);
    if (this.#stream.isHeadSent) this.#stream.sendTrailers(fields);
    else this.#stream.sendHead([...trailersOnlyHead, ...fields], true);
  }

  /**
   * The handler has done with the messages it was given: they count no longer, and their memory is used again, for
   * anybody's message. Nothing of them may be read after this, and if they are part of an answer, its `onSent` comes
   * first. A handler that never says this is safe, and a little slower with large messages.
   */
  release(): void {
    this.#stream.reader.releaseMessages();
    this.#stream.recycleSlabs();
  }

  /** The same for one of the messages, while others are still read. */
  releaseMessage(message: Buffer): void {
    this.#stream.releaseMessage(message);
  }

  /** Until `resume` the handler is told nothing, and the client may send no more than its window. */
  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    this.#deliver();
    if (!this.isPaused && !this.#hasEnded) this.#stream.resume();
  }

  // ---- what the stream and the clock tell ----

  isPaused = false;

  onMessageBegin(prefix: Buffer): void {
    this.#verifyLength(prefix.readUInt32BE(1));
  }

  onMessage(framed: Buffer): void {
    if (!this.#verifyLength(framed.length - PREFIX_BYTES)) return;
    if (framed[0] !== 0) {
      // It said that its messages are not compressed, or it would not have come here.
      this.#stop(GrpcStatus.INTERNAL, "a compressed message in a call without grpc-encoding", "message");
      return;
    }
    const message = framed.subarray(PREFIX_BYTES);
    if (this.isPaused) this.#waiting.push(message);
    else this.#receiver?.onMessage(this, message);
  }

  onEnd(): void {
    if (this.#hasEnded) return;
    // Half a message is as good as none.
    if (this.#stream.reader.isInside) this.#stop(GrpcStatus.INTERNAL, "the call ended inside a message", "message");
    else if (this.isPaused) this.#isEndWaiting = true;
    else this.#receiver?.onEnd(this);
  }

  /** What waited while the handler paused; it may pause again meanwhile. */
  #deliver(): void {
    while (this.#nextWaiting < this.#waiting.length && !this.isPaused && !this.#hasEnded) {
      this.#receiver?.onMessage(this, this.#waiting[this.#nextWaiting++]!);
    }
    if (this.#nextWaiting < this.#waiting.length) {
      this.#forgetDelivered();
      return;
    }
    this.#waiting = [];
    this.#nextWaiting = 0;
    if (!this.#isEndWaiting || this.isPaused || this.#hasEnded) return;
    this.#isEndWaiting = false;
    this.#receiver?.onEnd(this);
  }

  /** Now and then, for a client that sends as fast as it may keeps something waiting for ever. */
  #forgetDelivered(): void {
    if (this.#nextWaiting < MIN_FORGOTTEN || this.#nextWaiting * 2 < this.#waiting.length) return;
    this.#waiting = this.#waiting.slice(this.#nextWaiting);
    this.#nextWaiting = 0;
  }

  onClose(_code: number): void {
    if (this.#hasEnded) return;
    this.#finish();
    this.#receiver?.onCancel(this, "client");
  }

  onDeadline(): void {
    this.#stop(GrpcStatus.DEADLINE_EXCEEDED, "Deadline exceeded", "deadline");
  }

  #verifyLength(bytes: number): boolean {
    if (this.#hasEnded) return false;
    if (bytes <= this.maxMessageBytes) return true;
    const words = `the message has ${bytes} bytes; expected at most ${this.maxMessageBytes}`;
    this.#stop(GrpcStatus.RESOURCE_EXHAUSTED, words, "message");
    return false;
  }

  #stop(status: number, words: string, reason: CancelReason): void {
    if (this.#hasEnded) return;
    this.end(status, words);
    this.#receiver?.onCancel(this, reason);
  }

  #finish(): void {
    this.#hasEnded = true;
    this.#waiting = [];
    this.#deadlines.remove(this);
  }
}

function statusFields(status: number, message: string, trailers: FieldList | null): FieldList {
  const fields = ["grpc-status", `${status}`];
  if (message !== "") fields.push("grpc-message", encodeStatusMessage(message));
  return trailers === null ? fields : [...fields, ...trailers];
}
