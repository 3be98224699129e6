import type { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import type { Server } from "@grpc/grpc-js";
import { type ConnectionError, nameOfErrorCode } from "../http2/index.ts";
import type { ConnectionCounts } from "../listener/index.ts";

/** What grpc-js keeps for itself; the contract test of transport-server.ts guards it. */
interface Inside {
  createHttp2Server(credentials: unknown): EventEmitter;
}

/** Counts what comes to a gRPC server, whichever HTTP/2 it has. To be called before it listens. */
export function countConnections(server: Server, counts: ConnectionCounts): void {
  const inside = server as unknown as Inside;
  const create = inside.createHttp2Server.bind(server);
  inside.createHttp2Server = (credentials) => {
    const listener = create(credentials);
    listener.on("connection", (socket: Socket) => counts.add(socket));
    listener.on("tlsClientError", () => counts.refuse("tls"));
    listener.on("failure", ({ code }: ConnectionError) => counts.refuse(nameOfErrorCode(code))); // ours
    listener.on("sessionError", () => counts.refuse("http2")); // Node's, which does not say more
    return listener;
  };
}
