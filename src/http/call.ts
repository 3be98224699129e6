import type { IncomingMessage, ServerResponse } from "node:http";
import type { z } from "zod";
import { SignetError } from "../errors.ts";
import type { Identity } from "../service/index.ts";
import { type BodyLimits, readBody } from "./body.ts";
import { parseJsonAs } from "./json.ts";

/** What is answered where JSON with status 200 is not all. */
export class Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;

  constructor(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}) {
    this.status = status;
    this.body = body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body));
    this.headers = { "content-type": "application/json", ...headers };
  }
}

/** A call of the REST interface: its method and path, and what happens. */
export interface Route {
  readonly method: "GET" | "POST";
  /** As OpenAPI writes it: `{name}` stands for one part of the path. */
  readonly path: string;
  /** One line for people. */
  readonly summary: string;
  /** Whether nobody needs a token. */
  readonly isOpen?: true;
  /** The most that its body may have; none is read where it is left out. */
  readonly maxBodyBytes?: number;
  /** The form of its body, for the OpenAPI document. */
  readonly body?: z.ZodType;
  /** What it answers where that is not JSON, for the OpenAPI document. */
  readonly answerType?: string;
  /** JSON, or an Answer. */
  answer(call: Call): Promise<unknown>;
}

/** Every request but those of inference is a name or two. */
export const MAX_SMALL_BODY_BYTES = 128 * 1024;

const clientGone = new SignetError("CANCELLED", "the client cancelled the call");

/** One request, past the gate. */
export class Call {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #identity: Identity | null;
  readonly #limits: BodyLimits;
  readonly #parameters: Readonly<Record<string, string>>;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    facts: { identity: Identity | null; limits: BodyLimits; parameters: Readonly<Record<string, string>> },
  ) {
    this.#request = request;
    this.#response = response;
    this.#identity = facts.identity;
    this.#limits = facts.limits;
    this.#parameters = facts.parameters;
  }

  /** The caller of a route that is not open. */
  get identity(): Identity {
    if (this.#identity === null) throw new SignetError("INTERNAL", "a call that is not open came past the gate");
    return this.#identity;
  }

  /** The client's address. */
  get peer(): string {
    return peerOf(this.#request);
  }

  /** The client's address and port. */
  get peerSocket(): string {
    return `${this.peer}:${this.#request.socket.remotePort}`;
  }

  /** A part of the path; empty where the path has none of that name. */
  part(name: "model" | "version" | "region"): string {
    return this.#parameters[name] ?? "";
  }

  header(name: string): string | undefined {
    const value = this.#request.headers[name];
    return Array.isArray(value) ? value[0] : value;
  }

  /** @throws REQUEST_TOO_LARGE, REQUEST_MALFORMED, SERVER_OVERLOADED, CANCELLED */
  body(): Promise<Buffer> {
    return readBody(this.#request, this.#response, this.#limits);
  }

  /** The body as JSON of a known form. @throws REQUEST_TOO_LARGE, REQUEST_MALFORMED, CANCELLED */
  async json<Schema extends z.ZodType>(schema: Schema): Promise<z.output<Schema>> {
    return parseJsonAs(schema, await this.body());
  }

  /** Aborts where the client goes away before it is answered. */
  get signal(): AbortSignal {
    const controller = new AbortController();
    const onClose = () => {
      if (!this.#response.writableFinished) controller.abort(clientGone);
    };
    if (this.#response.closed || this.#response.destroyed) onClose();
    else this.#response.once("close", onClose);
    return controller.signal;
  }
}

/** The client's address, without its port. */
export function peerOf({ socket }: IncomingMessage): string {
  return socket.remoteAddress ?? "unknown";
}
