import type { SecureContextOptions } from "node:tls";
import { Server, type ServerInterceptor, type ServerOptions } from "@grpc/grpc-js";
import type { GrpcLimits } from "../config/index.ts";
import {
  type Connection,
  type ConnectionError,
  type DirectRoute,
  Http2Server,
  type Http2ServerOptions,
} from "../http2/index.ts";
import type { Log } from "../telemetry/index.ts";

/** What grpc-js keeps for itself and this file uses; a contract test tells when that is so no longer. */
interface Inside {
  createHttp2Server(credentials: CredentialsInside): Http2Server;
  _setupHandlers(server: Http2Server, interceptors: readonly ServerInterceptor[]): void;
}

interface CredentialsInside {
  _isSecure(): boolean;
  _getConstructorOptions(): object | null;
  _getSecureContextOptions(): SecureContextOptions | null;
  _getInterceptors(): readonly ServerInterceptor[];
  _addWatcher(watcher: (options: SecureContextOptions | null) => void): void;
}

/** The names above, for the test. */
export const serverInside = ["createHttp2Server", "_setupHandlers"] as const;
export const credentialsInside = [
  ...["_isSecure", "_getConstructorOptions", "_getSecureContextOptions", "_getInterceptors", "_addWatcher"],
] as const;

export interface TransportOptions {
  readonly limits: GrpcLimits;
  /** Calls that go past grpc-js, by path. */
  readonly direct: ReadonlyMap<string, DirectRoute>;
}

/**
 * grpc-js on our own HTTP/2 (`src/http2`) instead of node:http2. Everything above the transport is grpc-js unchanged:
 * handlers, interceptors, deadlines, metadata.
 */
export class TransportServer extends Server {
  readonly #listeners = new Set<Http2Server>();

  /** @param options for grpc-js; what the transport does itself is not among them */
  constructor(options: ServerOptions, transport: TransportOptions, log: Log) {
    super(options);
    const ofServer = http2Options(options, transport);
    const inside = this as unknown as Inside;
    inside.createHttp2Server = (credentials) => {
      const tls = credentials._isSecure()
        ? { ...credentials._getConstructorOptions(), ...credentials._getSecureContextOptions() }
        : null;
      const server = new Http2Server({ ...ofServer, tls });
      credentials._addWatcher((context) => {
        if (context !== null) server.setSecureContext(context);
      });
      inside._setupHandlers(server, credentials._getInterceptors());
      server.on("failure", ({ message, code }: ConnectionError, { socket }: Connection) => {
        log.debug({ peer: socket.remoteAddress, code, words: message }, "a client broke a rule of HTTP/2");
      });
      this.#listeners.add(server);
      server.on("close", () => this.#listeners.delete(server));
      return server;
    };
  }

  override forceShutdown(): void {
    super.forceShutdown();
    for (const server of this.#listeners) server.destroyConnections();
  }
}

function http2Options(options: ServerOptions, { limits, direct }: TransportOptions): Omit<Http2ServerOptions, "tls"> {
  const maxMessageBytes = options["grpc.max_receive_message_length"];
  const maxConcurrentStreams = options["grpc.max_concurrent_streams"];
  return {
    direct,
    ...(maxMessageBytes === undefined ? {} : { maxMessageBytes }),
    maxConnections: limits.maxConnections,
    maxHeldBytes: limits.requestBytes,
    limits: {
      ...(maxConcurrentStreams === undefined ? {} : { maxConcurrentStreams }),
      maxHeldBytes: limits.requestBytesPerConnection,
      keepAliveMs: limits.keepaliveTimeMs,
      keepAliveTimeoutMs: limits.keepaliveTimeoutMs,
      maxIdleMs: limits.maxConnectionIdleMs,
      maxAgeMs: limits.maxConnectionAgeMs,
    },
  };
}
