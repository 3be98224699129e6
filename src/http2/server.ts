import { EventEmitter } from "node:events";
import { type AddressInfo, createServer, type ListenOptions, type Server, Socket } from "node:net";
import {
  createServer as createTlsServer,
  type SecureContextOptions,
  type TlsOptions,
  Server as TlsServer,
} from "node:tls";
import { Connection } from "./connection.ts";
import { type DirectCallOptions, DirectCalls } from "./direct-calls.ts";
import { FrameWriter } from "./frame-writer.ts";
import { ErrorCode } from "./frames.ts";
import { type ConnectionLimits, resolveLimits } from "./limits.ts";
import { MemoryBudget } from "./memory-budget.ts";
import { NodeStream } from "./node-stream.ts";
import type { Stream } from "./stream.ts";

export interface Http2ServerOptions extends DirectCallOptions {
  /** Certificates and the rest, for TLS; null speaks plaintext, which clients must know beforehand. */
  readonly tls: TlsOptions | null;
  readonly limits?: Partial<ConnectionLimits>;
  /** Of all connections together, as `ConnectionLimits.maxHeldBytes` is of one. Default 1 GiB. */
  readonly maxHeldBytes?: number;
  /** Connections at a time, those included whose TLS handshake goes on. Default any number. */
  readonly maxConnections?: number;
}

const DEFAULT_MAX_HELD_BYTES = 2 ** 30;
/** Connections beyond the limit that are told so, at a time; still further ones are just closed. */
const MAX_REFUSALS = 64;
/** How long such a client may take to read that. */
const REFUSAL_MS = 1000;
/** One read of a socket. All plaintext connections read into the same bytes, for each read is dealt with at once. */
const readBuffer = Buffer.allocUnsafeSlow(256 * 1024);

/**
 * An HTTP/2 server on TCP, with or without TLS. It has the parts of node:http2's server that grpc-js uses: `listen`,
 * `address`, `close`, and the events `connection`, `tlsClientError`, `session`, `stream`, `error`, `close`. `failure` tells of a connection that was
 * ended because its client broke a rule, with the ConnectionError and the connection; `drop`, as in node:net, of one
 * beyond `maxConnections`, with the client's address.
 */
export class Http2Server extends EventEmitter {
  readonly #server: Server | TlsServer;
  readonly #limits: ConnectionLimits;
  readonly #budget: MemoryBudget;
  readonly #connections = new Set<Connection>();
  readonly #maxConnections: number;
  readonly #direct: DirectCalls;
  /** Connections whose TLS handshake goes on: nobody else knows them yet. */
  readonly #handshakes = new Map<string, Socket>();
  #sweeper: NodeJS.Timeout | undefined;

  constructor(options: Http2ServerOptions) {
    super();
    const { tls, limits, maxHeldBytes = DEFAULT_MAX_HELD_BYTES } = options;
    this.#direct = new DirectCalls(options);
    this.#maxConnections = options.maxConnections ?? Number.POSITIVE_INFINITY;
    this.#limits = resolveLimits(limits);
    this.#budget = new MemoryBudget(maxHeldBytes);
    this.#server =
      tls === null
        ? createServer({ pauseOnConnect: true, noDelay: true }, (socket) => this.#takeSocket(socket))
        : this.#createTlsServer(tls);
    if (Number.isFinite(this.#maxConnections)) {
      // Over TLS nobody can be told anything before a handshake, which is what costs most.
      this.#server.maxConnections = this.#maxConnections + (tls === null ? MAX_REFUSALS : 0);
    }
    this.#server.on("drop", (client) => this.emit("drop", client));
    this.#server.on("error", (error) => this.emit("error", error));
    for (const event of ["listening", "close"]) this.#server.on(event, () => this.emit(event));
    this.#server.on("listening", () => {
      this.#sweeper = setInterval(() => this.#sweep(), this.#limits.sweepMs).unref();
    });
  }

  get listening(): boolean {
    return this.#server.listening;
  }

  get connections(): ReadonlySet<Connection> {
    return this.#connections;
  }

  /** Bytes of received messages that are in memory. */
  get heldBytes(): number {
    return this.#budget.heldBytes;
  }

  listen(options: ListenOptions, listening: () => void): this {
    this.#server.listen(options, listening);
    return this;
  }

  address(): AddressInfo | string | null {
    return this.#server.address();
  }

  /** For TLS: new connections get these certificates. */
  setSecureContext(options: SecureContextOptions): void {
    if (this.#server instanceof TlsServer) this.#server.setSecureContext(options);
  }

  /** grpc-js wants no timeout of its own making; ours are in the limits. */
  setTimeout(): this {
    return this;
  }

  /** Takes no further connections. `done` is called when those that there are have ended. */
  close(done?: () => void): this {
    for (const socket of this.#handshakes.values()) socket.destroy();
    this.#server.close(() => {
      clearInterval(this.#sweeper);
      done?.();
    });
    return this;
  }

  /** Ends every connection now. */
  destroyConnections(): void {
    for (const connection of [...this.#connections]) connection.destroy(ErrorCode.CANCEL);
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const connection of this.#connections) connection.sweep(nowMs);
  }

  #createTlsServer(options: TlsOptions): TlsServer {
    const settings = { ...options, ALPNProtocols: ["h2"], handshakeTimeout: this.#limits.handshakeMs };
    const server = createTlsServer(settings, (socket) => {
      this.#handshakes.delete(remoteOf(socket));
      // RFC 9113 section 3.3: HTTP/2 over TLS is agreed on by ALPN, or not spoken.
      if (socket.alpnProtocol !== "h2") {
        socket.destroy();
        return;
      }
      socket.disableRenegotiation(); // section 9.2.1
      socket.setNoDelay(true);
      const connection = this.#connect(socket);
      socket.on("data", (chunk: Buffer) => connection.read(chunk, chunk.length));
    });
    server.on("connection", (socket: Socket) => {
      this.emit("connection", socket);
      const remote = remoteOf(socket);
      this.#handshakes.set(remote, socket);
      socket.on("close", () => this.#handshakes.delete(remote));
    });
    // Failed handshakes are the clients' affair.
    server.on("tlsClientError", (error, socket) => {
      socket.destroy();
      this.emit("tlsClientError", error, socket);
    });
    return server;
  }

  /** Gives an accepted socket our own bytes to read into, which spares 64 KiB of memory at every read. */
  #takeSocket(accepted: Socket): void {
    if (this.#connections.size >= this.#maxConnections) {
      this.#refuse(accepted);
      return;
    }
    const inside = accepted as unknown as { _handle: object | null };
    const handle = inside._handle;
    if (!handle) return void accepted.destroy();
    let connection: Connection | undefined;
    const socket = new Socket({
      handle,
      onread: {
        buffer: readBuffer,
        callback: (length: number) => {
          connection?.read(readBuffer, length);
          return true;
        },
      },
    } as ConstructorParameters<typeof Socket>[0]);
    // The accepted one keeps the count of the server's connections; it ends when ours does.
    inside._handle = null;
    socket.on("close", () => accepted.destroy());
    this.emit("connection", socket);
    connection = this.#connect(socket);
    socket.resume();
  }

  /** Says in the words of HTTP/2 that there is no room. */
  #refuse(socket: Socket): void {
    const { remoteAddress, remotePort } = socket;
    this.emit("drop", { remoteAddress, remotePort });
    const timer = setTimeout(() => socket.destroy(), REFUSAL_MS).unref();
    socket.on("error", () => undefined); // it may be gone already
    socket.on("close", () => clearTimeout(timer));
    const writer = new FrameWriter(socket, () => undefined);
    writer.ownSettings(Buffer.alloc(0));
    writer.goaway(0, ErrorCode.ENHANCE_YOUR_CALM, Buffer.from("too many connections"));
    writer.output.flush();
    socket.end();
    socket.resume(); // what is not read would reset the connection, and with it these words
  }

  #connect(socket: Socket): Connection {
    const connection = new Connection(socket, this.#limits, this.#budget, (stream) => this.#takeStream(stream));
    this.#connections.add(connection);
    connection.on("close", () => this.#connections.delete(connection));
    connection.on("failure", (error) => this.emit("failure", error, connection));
    this.emit("session", connection);
    return connection;
  }

  #takeStream(stream: Stream): void {
    if (this.#direct.open(stream)) return;
    const nodeStream = new NodeStream(stream);
    stream.giveTo(nodeStream);
    if (!this.emit("stream", nodeStream, stream.head.object, 0)) stream.reset(ErrorCode.REFUSED_STREAM);
  }
}

/** The same for a TLS connection and for the TCP connection below it. */
function remoteOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
