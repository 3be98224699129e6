import type { EventEmitter } from "node:events";
import type { Server } from "@grpc/grpc-js";
import type { AuditLog } from "../audit/index.ts";
import type { ConnectionCounts } from "../listener/index.ts";
import type { Log } from "../telemetry/index.ts";

/** What grpc-js keeps for itself; the contract test of transport-server.ts guards it. */
interface Inside {
  createHttp2Server(credentials: unknown): EventEmitter;
}

export interface DropReaders {
  readonly connections: ConnectionCounts;
  readonly audit: AuditLog;
  readonly log: Log;
}

/** Between two lines of the log, whatever happens. */
const QUIET_MS = 60_000;

/** Tells of connections that a gRPC server had no room for, whichever HTTP/2 it has. To be called before it listens. */
export function reportDrops(server: Server, { connections, audit, log }: DropReaders): void {
  let dropped = 0;
  let toldMs = Number.NEGATIVE_INFINITY;
  const onDrop = ({ remoteAddress: peer = "unknown" }: { readonly remoteAddress?: string } = {}) => {
    connections.refuse("limit");
    audit.refused({ code: "TOO_MANY_CONNECTIONS", identity: null, peer });
    dropped++;
    if (performance.now() - toldMs < QUIET_MS) return;
    log.warn({ code: "TOO_MANY_CONNECTIONS", dropped, peer }, "connections are refused: there are as many as may be");
    toldMs = performance.now();
    dropped = 0;
  };
  const inside = server as unknown as Inside;
  const create = inside.createHttp2Server.bind(server);
  inside.createHttp2Server = (credentials) => create(credentials).on("drop", onDrop);
}
