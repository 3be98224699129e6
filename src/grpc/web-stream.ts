import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { StatusObject } from "@grpc/grpc-js";
import { SignetError } from "../errors.ts";
import { Base64Reader } from "./base64-reader.ts";
import { grpcStatusFromError } from "./errors.ts";

/** What grpc-js gives as headers: a name's value, or several. */
type OutgoingHeaders = Readonly<Record<string, string | number | Buffer | readonly (string | Buffer)[] | undefined>>;

export interface WebStreamOptions {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Whether messages travel in base64, both ways. */
  readonly isText: boolean;
  /** The most that a body may have, as bytes. */
  readonly maxBytes: number;
  /** Told of every piece that is kept until the answer is over. @throws SERVER_OVERLOADED */
  hold(bytes: number): void;
}

/** Set in the first byte of a frame that has trailers instead of a message. */
const TRAILERS_FLAG = 0x80;
const PREFIX_BYTES = 5;
/** Of HTTP/2: the client does not want the answer any more. */
const CANCEL = 8;

/** Who has sent nothing for so long, ms, waits for the end of the answer. */
const QUIET_MS = 200;

/**
 * One gRPC-Web call as grpc-js knows a stream of HTTP/2: the part of ServerHttp2Stream that grpc-js uses, under the same
 * names, over a request and a response of HTTP/1.1. Messages are framed alike on both wires, so they pass as they are;
 * trailers, which a page cannot read, go into a last frame of the body. So every call runs grpc-js and our gate and
 * handlers unchanged (github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md).
 */
export class WebStream extends EventEmitter {
  readonly #options: WebStreamOptions;
  readonly #text: Base64Reader | null;
  #bytes = 0;
  #hasAsked = false;
  #hasAnswered = false;
  #isClosed = false;
  /** What grpc-js asks about the connection, and what the gate keeps certificates by. */
  readonly session: { readonly socket: Socket };
  rstCode = 0;

  constructor(options: WebStreamOptions) {
    super();
    this.#options = options;
    const { request, response, isText } = options;
    this.#text = isText ? new Base64Reader() : null;
    this.session = { socket: request.socket };
    request.pause();
    request.on("data", (chunk: Buffer) => this.#take(chunk));
    request.on("end", () => this.#end());
    request.on("error", () => undefined); // what follows is the response's `close`
    response.once("close", () => this.#close(response.writableFinished ? 0 : CANCEL));
  }

  get closed(): boolean {
    return this.#isClosed;
  }

  get destroyed(): boolean {
    return this.#isClosed;
  }

  // ---- what grpc-js does ----

  /** With `endStream` these are trailers too, where nothing but a status is answered. */
  respond(headers: OutgoingHeaders, { endStream = false }: { readonly endStream?: boolean } = {}): void {
    const { response, isText } = this.#options;
    if (this.#isClosed || response.headersSent) return;
    const head = endStream ? {} : own(headers);
    response.writeHead(200, {
      ...head,
      // Who asked to send a body and was not told to may or may not send it: what follows could not be told apart.
      ...(this.#isAsking ? { connection: "close" } : {}),
      "content-type": isText ? "application/grpc-web-text+proto" : "application/grpc-web+proto",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    });
    if (endStream) this.sendTrailers(headers);
    else response.flushHeaders();
  }

  /** `done` is called when the chunk is on its way, which is when the next one may come. */
  write(chunk: Buffer, done?: () => void): boolean {
    if (this.#isClosed) return false;
    const { response, isText } = this.#options;
    return response.write(isText ? chunk.toString("base64") : chunk, () => done?.());
  }

  end(): void {
    this.emit("wantTrailers");
  }

  sendTrailers(trailers: OutgoingHeaders): void {
    if (this.#isClosed) return;
    const { request, response } = this.#options;
    this.write(trailersFrame(own(trailers)));
    this.#hasAnswered = true;
    // What else the client sends is read and forgotten, so that it gets to read its answer.
    request.resume();
    if (request.complete || response.shouldKeepAlive) response.end();
    else this.#endWhenQuiet();
  }

  /**
   * A client that asked for its connection to be closed may still be sending: closed in the middle of that, the
   * connection would take the answer along.
   */
  #endWhenQuiet(): void {
    const { request, response } = this.#options;
    const timer = setTimeout(() => response.end(), QUIET_MS);
    request.on("data", () => timer.refresh());
    for (const over of ["end", "close"]) {
      request.once(over, () => {
        clearTimeout(timer);
        response.end();
      });
    }
  }

  pause(): this {
    this.#options.request.pause();
    return this;
  }

  resume(): this {
    const { request, response } = this.#options;
    if (this.#isAsking && !this.#isClosed && !response.headersSent) {
      response.writeContinue();
      this.#hasAsked = true;
    }
    request.resume();
    return this;
  }

  /** A client that waits to be asked for its messages has not sent them to be thrown away where it was refused. */
  get #isAsking(): boolean {
    const { headers, complete } = this.#options.request;
    return headers.expect?.toLowerCase() === "100-continue" && !complete && !this.#hasAsked;
  }

  // ---- what the request tells ----

  #take(chunk: Buffer): void {
    if (this.#isClosed || this.#hasAnswered) return;
    try {
      const bytes = this.#text?.read(chunk) ?? chunk;
      this.#bytes += bytes.length;
      const { maxBytes, hold } = this.#options;
      if (this.#bytes > maxBytes) {
        throw new SignetError("REQUEST_TOO_LARGE", `body: expected messages of ${maxBytes} bytes together, found more`);
      }
      hold(bytes.length);
      if (bytes.length > 0) this.emit("data", bytes);
    } catch (error) {
      this.fail(grpcStatusFromError(error));
    }
  }

  #end(): void {
    if (this.#isClosed || this.#hasAnswered) return;
    try {
      this.#text?.end();
      this.emit("end");
    } catch (error) {
      this.fail(grpcStatusFromError(error));
    }
  }

  /** Ends the call from below grpc-js, which then takes it for cancelled. */
  fail({ code, details, metadata }: StatusObject): void {
    const fields = { "grpc-status": code, "grpc-message": encodeURI(details), ...metadata.toHttp2Headers() };
    if (this.#options.response.headersSent) this.sendTrailers(fields);
    else this.respond(fields, { endStream: true });
    this.#close(CANCEL);
  }

  #close(code: number): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.rstCode = code;
    this.emit("close");
  }
}

/** The fields that are the call's own: not those of HTTP/2, and not what the listener says itself. */
function own(headers: OutgoingHeaders): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(":") || name === "content-type" || name.endsWith("-encoding") || value === undefined) continue;
    fields[name.toLowerCase()] = Array.isArray(value) ? value.map(String) : String(value);
  }
  return fields;
}

/** Trailers as the lines of HTTP/1, in a frame after the last message. */
function trailersFrame(trailers: Readonly<Record<string, string | string[]>>): Buffer {
  const lines = Object.entries(trailers).flatMap(([name, value]) =>
    [value].flat().map((one) => `${name}: ${one.replaceAll(/[\r\n]/g, " ")}\r\n`),
  );
  const text = Buffer.from(lines.join(""), "latin1");
  const frame = Buffer.alloc(PREFIX_BYTES + text.length);
  frame[0] = TRAILERS_FLAG;
  frame.writeUInt32BE(text.length, 1);
  text.copy(frame, PREFIX_BYTES);
  return frame;
}
