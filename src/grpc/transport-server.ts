import type { SecureContextOptions } from "node:tls";
import { Server, type ServerInterceptor, type ServerOptions } from "@grpc/grpc-js";
import { type Connection, type ConnectionError, Http2Server, type Http2ServerOptions } from "../http2/index.ts";
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

/** What requests of one connection may have in memory at least; all connections together twice as much. */
const MIN_HELD_BYTES = 512 * 2 ** 20;

/**
 * grpc-js on our own HTTP/2 (`src/http2`) instead of node:http2. Everything above the transport is grpc-js unchanged:
 * handlers, interceptors, deadlines, metadata.
 */
export class TransportServer extends Server {
  readonly #listeners = new Set<Http2Server>();

  /** @param direct calls that go past grpc-js, by path */
  constructor(options: ServerOptions, log: Log, direct: NonNullable<Http2ServerOptions["direct"]> = new Map()) {
    super(options);
    const transport = { ...transportOptions(options), direct };
    const inside = this as unknown as Inside;
    inside.createHttp2Server = (credentials) => {
      const tls = credentials._isSecure()
        ? { ...credentials._getConstructorOptions(), ...credentials._getSecureContextOptions() }
        : null;
      const server = new Http2Server({ ...transport, tls });
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

/** The limits that grpc-js keeps for itself, for the transport to keep too. */
function transportOptions(options: ServerOptions) {
  const maxMessageBytes = options["grpc.max_receive_message_length"] ?? DEFAULT_MAX_MESSAGE_BYTES;
  // A message that grows while it comes is there twice for a moment.
  const maxHeldBytes = Math.max(MIN_HELD_BYTES, 3 * maxMessageBytes);
  const maxConcurrentStreams = options["grpc.max_concurrent_streams"];
  const limits = { maxHeldBytes, ...(maxConcurrentStreams === undefined ? {} : { maxConcurrentStreams }) };
  return { limits, maxHeldBytes: 2 * maxHeldBytes, maxMessageBytes };
}

/** grpc-js' own. */
const DEFAULT_MAX_MESSAGE_BYTES = 4 * 2 ** 20;
