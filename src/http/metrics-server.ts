import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { isIPv4 } from "node:net";
import type { ResolvedListen } from "../config/index.ts";
import { SignetError } from "../errors.ts";
import { type ConnectionCounts, createHttpListener, type ListenerTls, listenAt } from "../listener/index.ts";
import { expositionFor, type Metrics } from "../metrics/index.ts";
import type { GateParts } from "../service/index.ts";
import type { Log } from "../telemetry/index.ts";
import { passGate } from "./call-gate.ts";
import { failureFromError } from "./errors.ts";

export interface MetricsServerOptions extends GateParts {
  readonly listen: ResolvedListen;
  readonly tls: ListenerTls | null;
  readonly metrics: Metrics;
  readonly connections: ConnectionCounts;
  readonly log: Log;
}

/** A few scrapers; each answer costs the gateway milliseconds. */
const MAX_CONNECTIONS = 16;
const ANSWER_TIMEOUT_MS = 30_000;

/** The metrics listener: `GET /metrics` and nothing else. */
export class MetricsServer {
  readonly #options: MetricsServerOptions;
  readonly #server: Server;

  constructor(options: MetricsServerOptions) {
    this.#options = options;
    this.#server = createHttpListener(options.tls, MAX_CONNECTIONS, options.connections);
    this.#server.on("request", (request, response) => this.#answer(request, response));
  }

  /** Opens the port. Resolves with `host:port` as bound. @throws ADDRESS_IN_USE, ADDRESS_UNUSABLE */
  listen(): Promise<string> {
    return listenAt(this.#server, this.#options.listen);
  }

  /** Ends everything now: who scrapes asks again. */
  close(): void {
    this.#options.metrics.close();
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    response.setTimeout(ANSWER_TIMEOUT_MS, () => response.destroy());
    let release = () => {};
    try {
      release = this.#letIn(request);
      const { contentType, format } = expositionFor(request.headers.accept);
      const body = format(this.#options.metrics.collect());
      send(response, 200, { "content-type": contentType }, body);
    } catch (thrown) {
      if (SignetError.from(thrown).code === "INTERNAL") {
        this.#options.log.error({ err: thrown }, "a scrape of metrics failed unexpectedly");
      }
      const { status, headers, body } = failureFromError(thrown);
      send(response, status, { ...headers, "content-type": "text/plain; charset=utf-8" }, `${body.error}\n`);
    } finally {
      release();
    }
  }

  /** @throws ROUTE_NOT_FOUND, and what the gate throws */
  #letIn(request: IncomingMessage): () => void {
    const [path] = (request.url ?? "").split("?");
    if (request.method !== "GET" || path !== "/metrics") {
      throw new SignetError("ROUTE_NOT_FOUND", "expected GET /metrics, found another method or path");
    }
    if (this.#options.listen.isLoopback && isLoopbackHost(request.headers.host)) return () => {};
    const admission = passGate(this.#options, request);
    if (!admission.isAdmitted) throw admission.error;
    try {
      admission.identity.require("metadata");
    } catch (error) {
      admission.release();
      throw error;
    }
    return admission.release;
  }
}

/** A page of a browser on this machine can have its own name lead here, but it cannot have the browser say another. */
function isLoopbackHost(host: string | undefined): boolean {
  const name = (host ?? "").toLowerCase().replace(/:\d*$/, "");
  return name === "localhost" || name === "[::1]" || (isIPv4(name) && name.startsWith("127."));
}

function send(response: ServerResponse, status: number, headers: Record<string, string>, body: Buffer | string): void {
  response.writeHead(status, { "cache-control": "no-store", "x-content-type-options": "nosniff", ...headers });
  response.end(body);
}
