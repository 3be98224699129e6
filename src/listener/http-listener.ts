import { createServer, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { ResolvedListen } from "../config/index.ts";
import { errorFromBind } from "./bind.ts";
import type { ConnectionCounts } from "./connection-counts.ts";
import type { ListenerTls } from "./tls.ts";

/** How long a client may take over its headers, and over a whole request. */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 120_000;
const TIMEOUT_LOOK_MS = 2000;
/** Longer than load balancers keep theirs, so that they and not the server end an idle connection. */
const KEEP_ALIVE_MS = 75_000;
/** Clients that went away without a word are found out, ms; a call may have nothing to tell them for long. */
const SILENCE_MS = 60_000;

/** An HTTP/1.1 server with TLS where there are files for it. It answers nothing yet but what is no HTTP. */
export function createHttpListener(tls: ListenerTls | null, maxConnections: number, counts: ConnectionCounts): Server {
  const settings = {
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: TIMEOUT_LOOK_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAlive: true,
    keepAliveInitialDelay: SILENCE_MS,
  };
  const server =
    tls === null
      ? createServer(settings)
      : createTlsServer({
          ...settings,
          ...tls.demands,
          ...tls.context,
          ALPNProtocols: ["http/1.1"],
          handshakeTimeout: HEADERS_TIMEOUT_MS,
        });
  server.maxConnections = maxConnections;
  server.on("connection", (socket) => counts.add(socket));
  server.on("drop", () => counts.refuse("too-many"));
  server.on("tlsClientError", () => counts.refuse("tls"));
  server.on("clientError", (error, socket) => {
    const nonsense = nonsenseOf(error);
    counts.refuse(nonsense.reason);
    refuseNonsense(nonsense.status, socket as Socket);
  });
  if ("setSecureContext" in server) {
    tls?.onReload((context) => server.setSecureContext(context));
    // What a connection's certificate is must not change while it is open.
    server.on("secureConnection", (socket: TLSSocket) => socket.disableRenegotiation());
  }
  return server;
}

/** Opens the port. Resolves with `host:port` as bound. @throws ADDRESS_IN_USE, ADDRESS_UNUSABLE */
export async function listenAt(server: Server, { address, host, port }: ResolvedListen): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(errorFromBind(address, error)));
    server.listen({ host, port }, resolve);
  });
  return `${host.includes(":") ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`;
}

interface Nonsense {
  readonly status: string;
  readonly reason: string;
}

function nonsenseOf({ code }: NodeJS.ErrnoException): Nonsense {
  if (code === "HPE_HEADER_OVERFLOW") return { status: "431 Request Header Fields Too Large", reason: "headers" };
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") return { status: "408 Request Timeout", reason: "timeout" };
  return { status: "400 Bad Request", reason: "malformed" };
}

/** Answers what is no HTTP, or comes too slowly, where nothing else was answered on that connection. */
function refuseNonsense(status: string, socket: Socket): void {
  if (socket.writable && socket.bytesWritten === 0) {
    socket.write(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  }
  socket.destroy();
}
