import { Server, setLogger } from "@grpc/grpc-js";
import { service as healthService } from "grpc-health-check";
import type { ResolvedListen } from "../config/index.ts";
import type { Log } from "../telemetry/index.ts";
import { errorFromBind } from "./bind.ts";
import { createCredentials } from "./credentials.ts";
import { Health } from "./health.ts";
import { type InferenceEdge, inferenceHandlers } from "./inference.ts";
import { inferenceService } from "./messages.ts";
import { createReceiveGate } from "./receive-gate.ts";

export interface GrpcServerOptions extends InferenceEdge {
  readonly listen: ResolvedListen;
  readonly maxMessageBytes: number;
  /** Where the gRPC library's own complaints go, which it would write to stderr in a form of its own. */
  readonly log: Log;
}

/** How long clients get to close their connections when the server stops, ms. */
const GOODBYE_MS = 500;
/** Streams of one connection; more than any well-meaning client opens, few enough to bound its memory. */
const MAX_CONCURRENT_STREAMS = 1024;

/** The gRPC listener: the v2 inference protocol and grpc.health.v1. */
export class GrpcServer {
  readonly #server: Server;
  readonly #health = new Health();
  readonly #listen: ResolvedListen;

  constructor(options: GrpcServerOptions) {
    this.#listen = options.listen;
    const complain = (...words: unknown[]) => options.log.warn({ words: words.map(String) }, "gRPC");
    setLogger({ error: complain, info: complain, debug: complain });
    this.#server = new Server({
      "grpc.max_receive_message_length": options.maxMessageBytes,
      // What goes out was bounded by the service's slot.
      "grpc.max_send_message_length": -1,
      "grpc.max_concurrent_streams": MAX_CONCURRENT_STREAMS,
      "grpc.enable_channelz": 0,
      interceptors: [createReceiveGate(options.access)],
    });
    this.#server.addService(inferenceService(), inferenceHandlers(options));
    this.#server.addService(healthService, this.#health.handlers);
  }

  /**
   * Opens the port. Resolves with `host:port` as bound.
   * @throws ADDRESS_IN_USE, ADDRESS_UNUSABLE, FILE_UNREADABLE, CONFIG_INVALID
   */
  listen(): Promise<string> {
    const { address, host } = this.#listen;
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, createCredentials(this.#listen), (error, port) => {
        if (error) {
          reject(errorFromBind(address, error));
        } else {
          resolve(`${host.includes(":") ? `[${host}]` : host}:${port}`);
        }
      });
    });
  }

  /** What health checks say; the empty name is the server as a whole. */
  setServing(service: string, isServing: boolean): void {
    this.#health.setServing(service, isServing);
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
