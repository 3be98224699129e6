import type { IncomingMessage, ServerResponse } from "node:http";
import { type Server, setLogger } from "@grpc/grpc-js";
import { service as healthService } from "grpc-health-check";
import type { AuditLog } from "../audit/index.ts";
import type { GrpcLimits, ResolvedListen } from "../config/index.ts";
import { type ConnectionCounts, errorFromBind, type ListenerTls } from "../listener/index.ts";
import type { Access, CallQuotas } from "../service/index.ts";
import type { Log } from "../telemetry/index.ts";
import { type AdminEdge, adminHandlers } from "./admin.ts";
import { adminService } from "./admin-messages.ts";
import { createCallGate } from "./call-gate.ts";
import { countConnections } from "./count-connections.ts";
import { createCredentials } from "./credentials.ts";
import { describedServices } from "./described-services.ts";
import { directRoutes } from "./direct-infer.ts";
import { Health } from "./health.ts";
import { type InferenceEdge, inferenceHandlers, openInferenceCalls } from "./inference.ts";
import { jobService } from "./job-messages.ts";
import { jobHandlers } from "./jobs.ts";
import { inferenceService } from "./messages.ts";
import { NodeTransportServer } from "./node-transport-server.ts";
import { addReflection } from "./reflection.ts";
import { reportDrops } from "./report-drops.ts";
import { TransportServer } from "./transport-server.ts";
import { WebEntrance } from "./web-entrance.ts";

export interface GrpcServerOptions extends InferenceEdge, AdminEdge {
  readonly listen: ResolvedListen;
  readonly tls: ListenerTls | null;
  /** Whose HTTP/2: ours or Node's. */
  readonly transport: "signet" | "node";
  /** Whether clients may ask what there is to call. */
  readonly reflection: boolean;
  readonly limits: GrpcLimits;
  readonly maxMessageBytes: number;
  readonly access: Access;
  readonly quotas: CallQuotas;
  readonly audit: AuditLog;
  readonly connections: ConnectionCounts;
  /** Where the gRPC library's own complaints go, which it would write to stderr in a form of its own. */
  readonly log: Log;
}

const webServices = ["inference.GRPCInferenceService", "signet.v1.JobService", "grpc.health.v1.Health"] as const;
/** How long clients get to close their connections when the server stops, ms. */
const GOODBYE_MS = 500;
/** Streams of one connection; more than any well-meaning client opens, few enough to bound its memory. */
const MAX_CONCURRENT_STREAMS = 1024;

/** The gRPC listener: the v2 inference protocol and grpc.health.v1. */
export class GrpcServer {
  readonly #server: Server;
  readonly #health = new Health();
  readonly #web: WebEntrance;
  readonly #listen: ResolvedListen;
  readonly #tls: ListenerTls | null;

  constructor(options: GrpcServerOptions) {
    this.#listen = options.listen;
    this.#tls = options.tls;
    const inference = inferenceService();
    const open = new Set([
      ...openInferenceCalls.map((name) => inference[name].path),
      ...Object.values(healthService).map(({ path }) => path),
    ]);
    const complain = (...words: unknown[]) => options.log.warn({ words: words.map(String) }, "gRPC");
    setLogger({ error: complain, info: complain, debug: complain });
    const settings = {
      interceptors: [createCallGate({ ...options, isOpen: (path) => open.has(path) })],
      "grpc.max_receive_message_length": options.maxMessageBytes,
      // What goes out was bounded by the service's slot.
      "grpc.max_send_message_length": -1,
      "grpc.max_concurrent_streams": MAX_CONCURRENT_STREAMS,
      "grpc.enable_channelz": 0,
    };
    const transport = { limits: options.limits, direct: directRoutes(options) };
    this.#server =
      options.transport === "node"
        ? new NodeTransportServer(settings, transport)
        : new TransportServer(settings, transport, options.log);
    countConnections(this.#server, options.connections);
    reportDrops(this.#server, options);
    this.#server.addService(inference, inferenceHandlers(options));
    this.#server.addService(jobService(), jobHandlers(options));
    this.#server.addService(adminService(), adminHandlers(options));
    this.#server.addService(healthService, this.#health.handlers);
    if (options.reflection) {
      addReflection(this.#server, {
        "inference.GRPCInferenceService": inference,
        ...describedServices(),
        "grpc.health.v1.Health": healthService,
      });
    }
    this.#web = new WebEntrance(this.#server, options.maxMessageBytes);
  }

  /** gRPC-Web, for a listener that speaks HTTP/1.1. */
  get web() {
    return {
      services: [...webServices],
      answer: (request: IncomingMessage, response: ServerResponse, hold: (bytes: number) => void) =>
        this.#web.answer(request, response, hold),
    };
  }

  /**
   * Opens the port. Resolves with `host:port` as bound.
   * @throws ADDRESS_IN_USE, ADDRESS_UNUSABLE
   */
  listen(): Promise<string> {
    const { address, host } = this.#listen;
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, createCredentials(this.#tls), (error, port) => {
        if (error) reject(errorFromBind(address, error));
        else resolve(`${host.includes(":") ? `[${host}]` : host}:${port}`);
      });
    });
  }

  /** What health checks say; the empty name is the server as a whole. */
  setServing(service: string, isServing: boolean): void {
    this.#health.setServing(service, isServing);
  }

  /** Health checks no longer know the service. */
  forgetService(service: string): void {
    this.#health.forget(service);
  }

  /** Takes no new connections and asks clients to leave; calls that run go on. */
  startClosing(): Promise<void> {
    return new Promise((resolve) => this.#server.tryShutdown(() => resolve()));
  }

  /** Ends what is left after a moment for the last answers to get out. */
  async close(closing: Promise<void>): Promise<void> {
    this.#health.close();
    const timer = setTimeout(() => this.#server.forceShutdown(), GOODBYE_MS);
    await closing;
    clearTimeout(timer);
  }

  /** Ends everything now. */
  abort(): void {
    this.#server.forceShutdown();
  }
}
