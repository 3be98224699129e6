import type { SecureContextOptions } from "node:tls";
import { Server, type ServerInterceptor, type ServerOptions } from "@grpc/grpc-js";
import { type ConnectionLimits, Http2Server } from "../http2/index.ts";

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

/**
 * grpc-js on our own HTTP/2 (`src/http2`) instead of node:http2. Everything above the transport is grpc-js unchanged:
 * handlers, interceptors, deadlines, metadata.
 */
export class TransportServer extends Server {
  readonly #listeners = new Set<Http2Server>();

  constructor(options: ServerOptions, limits: Partial<ConnectionLimits> = {}) {
    super(options);
    const inside = this as unknown as Inside;
    inside.createHttp2Server = (credentials) => {
      const tls = credentials._isSecure()
        ? { ...credentials._getConstructorOptions(), ...credentials._getSecureContextOptions() }
        : null;
      const server = new Http2Server({ tls, limits });
      credentials._addWatcher((context) => {
        if (context !== null) server.setSecureContext(context);
      });
      inside._setupHandlers(server, credentials._getInterceptors());
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
