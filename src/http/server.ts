import type { IncomingMessage, Server, ServerResponse } from "node:http";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { ResolvedListen } from "../config/index.ts";
import { SignetError } from "../errors.ts";
import { type ConnectionCounts, createHttpListener, type ListenerTls, listenAt } from "../listener/index.ts";
import type { GateParts, Identity } from "../service/index.ts";
import type { Log } from "../telemetry/index.ts";
import { expectsContinue } from "./body.ts";
import { BodyBudget } from "./body-budget.ts";
import { Answer, Call, peerOf, type Route } from "./call.ts";
import { passGate, verifySingleHeaders } from "./call-gate.ts";
import { failureFromError, type HttpFailure } from "./errors.ts";
import type { ForeignCalls } from "./foreign-calls.ts";
import { type InferenceEdge, inferenceRoutes } from "./inference.ts";
import { openApiDocument } from "./openapi.ts";
import { isPreflight, Origins, preflightHeaders } from "./origins.ts";

export interface HttpServerOptions extends InferenceEdge, GateParts {
  readonly listen: ResolvedListen;
  readonly tls: ListenerTls | null;
  /** Of pages that may call. */
  readonly origins: readonly string[];
  /** gRPC-Web. */
  readonly web: ForeignCalls;
  readonly connections: ConnectionCounts;
  readonly log: Log;
}

/** How long clients get to take their last answers when the server stops, ms. */
const GOODBYE_MS = 500;
/** A call needs a connection of its own here, and each costs the gateway a descriptor. */
const MAX_CONNECTIONS = 1024;
/** What all requests together may have in memory: so many of the largest, and at least a GiB. The same as over gRPC. */
const HELD_BODIES = 6;
const MIN_HELD_BYTES = 2 ** 30;
/** How long a client may take over taking an answer without a byte moving. */
const ANSWER_TIMEOUT_MS = 30_000; // or twice as long: Node looks whether anything went out since it last looked
/** Of one part of a path, as names are written there; a name may have 128 characters of up to 4 bytes. */
const MAX_PART_LENGTH = 3 * 4 * 128;

/** The REST listener: the v2 inference protocol in JSON and binary data. It carries gRPC-Web too. */
export class HttpServer {
  readonly #options: HttpServerOptions;
  readonly #server: Server;
  readonly #app: FastifyInstance;
  readonly #budget: BodyBudget;
  readonly #origins: Origins;
  #isClosing = false;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    this.#server = createHttpListener(options.tls, MAX_CONNECTIONS, options.connections);
    this.#budget = new BodyBudget(Math.max(MIN_HELD_BYTES, HELD_BODIES * options.maxMessageBytes));
    this.#origins = new Origins(options.origins);
    this.#app = Fastify({
      serverFactory: (handler) => {
        const enter = (request: IncomingMessage, response: ServerResponse) => {
          if (this.#welcome(request, response)) handler(request, response);
        };
        // A client that asks before it sends its body is refused before it does.
        for (const event of ["request", "checkContinue"]) this.#server.on(event, enter);
        return this.#server;
      },
      exposeHeadRoutes: false,
      routerOptions: { maxParamLength: MAX_PART_LENGTH },
      clientErrorHandler: () => {}, // the listener answers these
      frameworkErrors: (error, request, reply) => this.#fail(request.raw, reply, malformed(error)),
    });
    this.#app.removeAllContentTypeParsers();
    // Bodies are read by their calls, within the bounds of each.
    this.#app.addContentTypeParser("*", (_request, _payload, done) => done(null));
    this.#app.setErrorHandler((error, request, reply) => this.#fail(request.raw, reply, error));
    this.#app.setNotFoundHandler((request, reply) => this.#answer(unknownRoute, request, reply));
    for (const route of routesOf(options)) {
      const url = route.path.replaceAll(/\{(\w+)\}/g, ":$1");
      this.#app.route({
        method: route.method,
        url,
        handler: (request, reply) => this.#answer(route, request, reply),
      });
    }
    for (const service of options.web.services) {
      this.#app.post(`/${service}/:method`, ({ raw }, reply) => {
        verifySingleHeaders(raw);
        reply.hijack();
        this.#answerWeb(raw, reply.raw);
      });
    }
  }

  /** Opens the port. Resolves with `host:port` as bound. @throws ADDRESS_IN_USE, ADDRESS_UNUSABLE */
  async listen(): Promise<string> {
    await this.#app.ready();
    return await listenAt(this.#server, this.#options.listen);
  }

  /** Takes no new connections and ends idle ones; calls that run go on. */
  startClosing(): Promise<void> {
    this.#isClosing = true;
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  /** Ends what is left after a moment for the last answers to get out. */
  async close(closing: Promise<void>): Promise<void> {
    const timer = setTimeout(() => this.#server.closeAllConnections(), GOODBYE_MS);
    await closing;
    clearTimeout(timer);
  }

  /** Ends everything now. */
  abort(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  /** Whether the request is one to be answered: of no page, or of one that may call. */
  #welcome(request: IncomingMessage, response: ServerResponse): boolean {
    try {
      response.setHeaders(new Map(Object.entries(this.#origins.headersFor(request))));
      if (!isPreflight(request)) return true;
      response.writeHead(204, preflightHeaders).end();
    } catch (error) {
      const { status, headers, body } = failureFromError(error);
      const answer = new Answer(status, body, headers);
      response.writeHead(status, { ...commonHeaders, ...answer.headers, connection: "close" }).end(answer.body);
    }
    return false;
  }

  #answerWeb(request: IncomingMessage, response: ServerResponse): void {
    let held = 0;
    response.once("close", () => this.#budget.giveBack(held));
    if (this.#isClosing) response.setHeader("connection", "close");
    // A stream may be silent; but what it tells must be taken.
    response.setTimeout(ANSWER_TIMEOUT_MS, () => {
      if (response.writableLength > 0) response.destroy();
    });
    this.#options.web.answer(request, response, (bytes) => {
      held += this.#budget.take(bytes);
    });
  }

  /** Never rejects: whatever goes wrong is answered. */
  async #answer(route: Route, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { raw } = request;
    let identity: Identity | null = null;
    if (!route.isOpen) {
      const admission = passGate(this.#options, raw);
      if (!admission.isAdmitted) return this.#fail(raw, reply, admission.error, admission.retryAfterMs);
      ({ identity } = admission);
      reply.raw.once("close", admission.release);
    }
    this.#logEnd(route, identity, raw, reply);
    try {
      const parameters = request.params as Record<string, string>;
      const limits = { maxBytes: route.maxBodyBytes ?? 0, budget: this.#budget };
      const call = new Call(raw, reply.raw, { identity, limits, parameters });
      const answered = await route.answer(call);
      const answer = answered instanceof Answer ? answered : new Answer(200, answered);
      return this.#send(raw, reply, answer);
    } catch (thrown) {
      const { code } = SignetError.from(thrown);
      if (code === "INTERNAL") this.#options.log.error({ err: thrown }, "a call failed unexpectedly");
      if (code === "PERMISSION_DENIED") {
        this.#options.audit.refused({ code, identity: identity?.name ?? null, peer: peerOf(raw) });
      }
      return this.#fail(raw, reply, thrown);
    }
  }

  #fail(request: IncomingMessage, reply: FastifyReply, thrown: unknown, retryAfterMs: number | null = null) {
    const { status, headers, body }: HttpFailure = failureFromError(thrown, retryAfterMs);
    return this.#send(request, reply, new Answer(status, body, headers));
  }

  #send(request: IncomingMessage, reply: FastifyReply, { status, headers, body }: Answer): FastifyReply {
    // Who asked to send a body and was not told to may or may not send it: what follows could not be told apart.
    const isUndecided = expectsContinue(request) && !request.complete;
    if (this.#isClosing || isUndecided) reply.header("connection", "close");
    reply.raw.setTimeout(ANSWER_TIMEOUT_MS, () => reply.raw.destroy());
    return reply
      .code(status)
      .headers({ ...commonHeaders, ...headers })
      .send(body);
  }

  #logEnd({ method, path }: Route, identity: Identity | null, request: IncomingMessage, reply: FastifyReply): void {
    const { log } = this.#options;
    if (!log.isLevelEnabled("debug")) return;
    const arrivedMs = performance.now();
    const facts = { method, path, identity: identity?.name ?? null, peer: peerOf(request) };
    reply.raw.once("close", () => {
      const { statusCode: status, writableFinished } = reply.raw;
      log.debug({ ...facts, status: writableFinished ? status : null, ms: performance.now() - arrivedMs }, "REST call");
    });
  }
}

const commonHeaders = { "cache-control": "no-store", "x-content-type-options": "nosniff" };

/** Every call, and the document about them. */
export function routesOf(edge: InferenceEdge): Route[] {
  const calls = inferenceRoutes(edge);
  const about: Route = {
    method: "GET",
    path: "/openapi.json",
    summary: "This interface as an OpenAPI document.",
    answer: async ({ identity }) => {
      identity.require("metadata");
      return document;
    },
  };
  const document = openApiDocument([...calls, about], edge.version);
  return [...calls, about];
}

const unknownRoute: Route = {
  method: "GET",
  path: "none",
  summary: "What is no call.",
  answer: async () => {
    throw new SignetError("ROUTE_NOT_FOUND", "expected a method and path of the REST interface, found others");
  },
};

function malformed(cause: Error): SignetError {
  return new SignetError("REQUEST_MALFORMED", "expected a path and headers of HTTP, found something else", { cause });
}
