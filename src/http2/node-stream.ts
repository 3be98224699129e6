import { EventEmitter } from "node:events";
import type { Connection } from "./connection.ts";
import type { FieldList } from "./hpack-encoder.ts";
import { PREFIX_BYTES } from "./message-reader.ts";
import type { Stream, StreamOwner } from "./stream.ts";

/** What grpc-js gives as headers: a name's value, or several. */
type OutgoingHeaders = Readonly<Record<string, string | number | readonly string[] | undefined>>;

interface RespondOptions {
  readonly endStream?: boolean;
  readonly waitForTrailers?: boolean;
}

/**
 * A stream as grpc-js knows it from node:http2: the part of ServerHttp2Stream that grpc-js uses, under the same names,
 * with the same events (`data`, `end`, `wantTrailers`, `close`). It gives the content of a message in one piece, or in
 * two where it does not come at once: the prefix, so that a message that is too long is refused before it is here, and
 * the rest.
 */
export class NodeStream extends EventEmitter implements StreamOwner {
  readonly #stream: Stream;
  /** Chunks that came while the reader paused. */
  #chunks: Buffer[] = [];
  #hasEnded = false;
  #isEndTold = false;
  #isPaused = false;
  #isPrefixGiven = false;
  #waitsForTrailers = false;
  /** Of RST_STREAM, if there was one. */
  rstCode = 0;

  constructor(stream: Stream) {
    super();
    this.#stream = stream;
  }

  get session(): Connection {
    return this.#stream.connection;
  }

  get id(): number {
    return this.#stream.id;
  }

  get closed(): boolean {
    return this.#stream.isClosed;
  }

  get destroyed(): boolean {
    return this.#stream.isClosed;
  }

  get headersSent(): boolean {
    return this.#stream.isHeadSent;
  }

  // ---- what grpc-js does ----

  respond(headers: OutgoingHeaders, { endStream = false, waitForTrailers = false }: RespondOptions = {}): void {
    this.#waitsForTrailers = waitForTrailers;
    this.#stream.sendHead(fieldsFrom(headers), endStream);
  }

  /** `done` is called when the chunk is on its way, which is when the next one may come. */
  write(chunk: Buffer, done?: () => void): boolean {
    this.#stream.sendData(chunk, done ?? null);
    return this.#stream.waitingBytes === 0;
  }

  end(): void {
    if (this.#waitsForTrailers) this.emit("wantTrailers");
    else this.#stream.sendEnd();
  }

  sendTrailers(trailers: OutgoingHeaders): void {
    this.#stream.sendTrailers(fieldsFrom(trailers));
  }

  close(code = 0): void {
    this.#stream.reset(code);
  }

  destroy(): void {
    this.#stream.reset(CANCEL);
  }

  pause(): this {
    this.#isPaused = true;
    return this;
  }

  resume(): this {
    if (!this.#isPaused) return this;
    this.#isPaused = false;
    this.#deliver();
    this.#stream.resume();
    return this;
  }

  // ---- what the stream tells ----

  /** Only a reader that leaves something lying is one that pauses: between messages grpc-js always does. */
  get isPaused(): boolean {
    return this.#isPaused && this.#chunks.length > 0;
  }

  onMessageBegin(prefix: Buffer): void {
    this.#isPrefixGiven = true;
    this.#take(prefix);
  }

  onMessage(framed: Buffer): void {
    const isPrefixGiven = this.#isPrefixGiven;
    this.#isPrefixGiven = false;
    this.#take(isPrefixGiven ? framed.subarray(PREFIX_BYTES) : framed);
  }

  onEnd(): void {
    this.#hasEnded = true;
    this.#deliver();
  }

  onClose(code: number): void {
    this.rstCode = code;
    this.#chunks = [];
    this.emit("close");
  }

  #take(chunk: Buffer): void {
    this.#chunks.push(chunk);
    if (!this.#isPaused) this.#deliver();
  }

  /**
   * grpc-js has copied what it was given: `StreamDecoder` puts each message together anew. So the memory is free, but
   * the last message still counts, for it is in a handler's hands.
   */
  #letGo(): void {
    if (this.#stream.isClosed) return;
    this.#stream.reader.releaseMessages(true);
    this.#stream.recycleSlabs();
  }

  #deliver(): void {
    while (!this.#isPaused && this.#chunks.length > 0) this.emit("data", this.#chunks.shift());
    if (this.#chunks.length === 0) this.#letGo();
    if (!this.#hasEnded || this.#isEndTold || this.#chunks.length > 0 || this.#stream.isClosed) return;
    this.#isEndTold = true;
    this.emit("end");
  }
}

const CANCEL = 8;

/** Pseudo-headers first (RFC 9113 section 8.3), in whatever order they come. */
function fieldsFrom(headers: OutgoingHeaders): FieldList {
  const fields: string[] = [];
  const status = headers[":status"];
  if (status !== undefined) fields.push(":status", String(status));
  for (const name in headers) {
    if (name.charCodeAt(0) === COLON) continue;
    const value = headers[name];
    if (Array.isArray(value)) for (const one of value) fields.push(name.toLowerCase(), String(one));
    else if (value !== undefined) fields.push(name.toLowerCase(), String(value));
  }
  return fields;
}

const COLON = 0x3a;
