import type { Http2Session, IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { CallStream } from "./direct-call.ts";
import { ErrorCode, writeUint32 } from "./frames.ts";
import type { FieldList } from "./hpack-encoder.ts";
import type { MemoryBudget } from "./memory-budget.ts";
import { MessageReader, PREFIX_BYTES } from "./message-reader.ts";
import type { Lent } from "./output.ts";
import { giveSlab, takeSlab } from "./slabs.ts";
import type { StreamOwner } from "./stream.ts";

/** The headers of a call as node:http2 has them. */
export class ForeignHead {
  readonly #headers: IncomingHttpHeaders;
  readonly method: string;
  readonly path: string;

  constructor(headers: IncomingHttpHeaders) {
    this.#headers = headers;
    this.method = String(headers[":method"]);
    this.path = String(headers[":path"]);
  }

  get(name: string): string | undefined {
    const value = this.#headers[name];
    return typeof value === "object" ? value[0] : value;
  }
}

/**
 * What a client may send on a stream of node:http2 before it hears from us. Node's default of 64 KiB makes it wait ten
 * times for a tensor of 600 KB. Less than our own transport has: a stream that pauses may hold all of it, unseen.
 */
export const FOREIGN_WINDOW_BYTES = 4 * 2 ** 20;
/** A message that is copied to lie behind its prefix, in one write. */
const MAX_COPIED_BYTES = 16 * 1024;

/** A stream of node:http2 as a direct call needs it. */
export class ForeignStream implements CallStream {
  readonly head: ForeignHead;
  readonly connection: Http2Session;
  readonly beganMs = performance.now();
  /** Both are set by `giveTo`, before anything comes. */
  reader!: MessageReader;
  #owner!: StreamOwner;
  readonly #stream: ServerHttp2Stream;
  readonly #budget: MemoryBudget;
  #trailers: FieldList | null = null;
  /** Whether a window is taken from the budget, for what comes while the stream pauses. */
  #isWindowTaken = false;
  /** Of large answers that the client has not taken. */
  #answerBytes = 0;

  /** @param budget of the connection */
  constructor(stream: ServerHttp2Stream, connection: Http2Session, head: ForeignHead, budget: MemoryBudget) {
    this.#stream = stream;
    this.connection = connection;
    this.#budget = budget;
    this.head = head;
  }

  get isHeadSent(): boolean {
    return this.#stream.headersSent;
  }

  get waitingBytes(): number {
    return this.#stream.writableLength;
  }

  giveTo(owner: StreamOwner): void {
    this.#owner = owner;
    this.reader = new MessageReader(this.#budget, owner);
    const stream = this.#stream;
    stream.on("data", (chunk: Buffer) => this.#take(chunk));
    stream.on("end", () => {
      if (!stream.aborted) owner.onEnd();
    });
    stream.on("wantTrailers", () => stream.sendTrailers(headersFrom(this.#trailers!)));
    // What went wrong is told by `close`, which always comes.
    stream.on("error", () => undefined);
    stream.on("close", () => {
      this.reader.stop();
      this.#giveWindow();
      this.#answerTaken(this.#answerBytes);
      owner.onClose(stream.rstCode);
    });
  }

  #take(chunk: Buffer): void {
    if (!this.reader.push(chunk, 0, chunk.length)) this.#stream.close(ErrorCode.ENHANCE_YOUR_CALM);
    else if (this.#owner.isPaused) this.#pause();
  }

  #pause(): void {
    if (!this.#isWindowTaken) {
      this.#isWindowTaken = this.#budget.take(FOREIGN_WINDOW_BYTES);
      if (!this.#isWindowTaken) return void this.#stream.close(ErrorCode.ENHANCE_YOUR_CALM);
    }
    this.#stream.pause();
  }

  #giveWindow(): void {
    if (this.#isWindowTaken) this.#budget.release(FOREIGN_WINDOW_BYTES);
    this.#isWindowTaken = false;
  }

  /** Whether nobody is there to take anything, which node:http2 would throw. */
  get #isOver(): boolean {
    return this.#stream.destroyed || this.#stream.closed;
  }

  sendHead(fields: FieldList, isEnd: boolean): void {
    if (this.#isOver) return;
    this.#stream.respond(fields, isEnd ? { endStream: true } : { waitForTrailers: true });
    if (isEnd) this.#letGo();
  }

  sendMessage(parts: readonly Buffer[], onSent: ((error?: Error | null) => void) | null): void {
    if (this.#isOver) return;
    let length = 0;
    for (const part of parts) length += part.length;
    const stream = this.#stream;
    const isCopied = length <= MAX_COPIED_BYTES;
    const first = Buffer.allocUnsafe(PREFIX_BYTES + (isCopied ? length : 0));
    first[0] = 0;
    let at = writeUint32(first, 1, length);
    if (isCopied) {
      for (const part of parts) at += part.copy(first, at);
      stream.write(first, onSent ?? undefined);
      return;
    }
    stream.cork();
    stream.write(first);
    for (let index = 0; index < parts.length - 1; index++) stream.write(parts[index]);
    this.#answerBytes += length;
    this.#budget.hold(length);
    stream.write(parts.at(-1), (error) => {
      this.#answerTaken(length);
      onSent?.(error);
    });
    stream.uncork();
  }

  /** Also what `close` has given back before it was said to be sent. */
  #answerTaken(length: number): void {
    const bytes = Math.min(length, this.#answerBytes);
    this.#answerBytes -= bytes;
    this.#budget.release(bytes);
  }

  /** From a copy, since nobody says when node:http2 has done with the memory of a call that ended early. */
  sendLent(parts: readonly Buffer[], lent: Lent, onSent: (() => void) | null): void {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (length <= MAX_COPIED_BYTES) {
      this.sendMessage(parts, onSent);
    } else {
      const slab = takeSlab(length);
      let at = 0;
      for (const part of parts) at += part.copy(slab, at);
      this.sendMessage([slab.subarray(0, length)], (error) => {
        // Of a stream that was cut off, parts may still be on their way from there.
        if (!error) giveSlab(slab);
        onSent?.();
      });
    }
    lent.release();
  }

  sendTrailers(fields: FieldList): void {
    this.#trailers = fields;
    if (this.#isOver) return;
    this.#stream.end();
    this.#letGo();
  }

  /** Nothing more of the request is wanted; what still comes must not fill the window, or the stream never ends. */
  #letGo(): void {
    this.reader.stop();
    this.#stream.resume();
  }

  recycleSlabs(): void {
    for (const slab of this.reader.takeSlabs()) giveSlab(slab);
  }

  releaseMessage(message: Buffer): void {
    const slab = this.reader.releaseMessage(message);
    if (slab !== null) giveSlab(slab);
  }

  resume(): void {
    this.#giveWindow();
    this.#stream.resume();
  }
}

/** Trailers, unlike headers, are not taken as a list. */
function headersFrom(fields: FieldList): OutgoingHttpHeaders {
  const headers: Record<string, string> = {};
  for (let field = 0; field < fields.length; field += 2) headers[fields[field]!] = fields[field + 1]!;
  return headers;
}
