import {
  constants,
  type Http2Session,
  type Http2Server as NodeHttp2Server,
  type ServerHttp2Stream,
  type SessionOptions,
} from "node:http2";
import { Server, type ServerOptions } from "@grpc/grpc-js";
import type { GrpcLimits } from "../config/index.ts";
import {
  DirectCalls,
  defaultLimits,
  FOREIGN_WINDOW_BYTES,
  ForeignHead,
  ForeignStream,
  MemoryBudget,
} from "../http2/index.ts";
import type { TransportOptions } from "./transport-server.ts";

/** What grpc-js keeps for itself and this file uses; a contract test tells when that is so no longer. */
interface Inside {
  readonly commonServerOptions: SessionOptions;
  createHttp2Server(credentials: object): NodeHttp2Server;
  onStreamOpened(stream: ServerHttp2Stream): void;
}

/** The names above that are methods, for the test. */
export const nodeServerInside = ["createHttp2Server", "onStreamOpened"] as const;

/**
 * grpc-js on node:http2, with windows that a tensor fits in, and with the direct calls that our own transport has.
 * Everything else is grpc-js unchanged.
 */
export class NodeTransportServer extends Server {
  readonly #direct: DirectCalls;
  /** Of all connections together. */
  readonly #budget: MemoryBudget;
  readonly #bytesPerConnection: number;
  readonly #budgets = new WeakMap<Http2Session, MemoryBudget>();

  constructor(options: ServerOptions, { limits, direct }: TransportOptions) {
    super({ ...options, ...timesFrom(limits) });
    this.#budget = new MemoryBudget(limits.requestBytes);
    this.#bytesPerConnection = limits.requestBytesPerConnection;
    const maxMessageBytes = options["grpc.max_receive_message_length"];
    this.#direct = new DirectCalls({ direct, ...(maxMessageBytes === undefined ? {} : { maxMessageBytes }) });
    const inside = this as unknown as Inside;
    inside.commonServerOptions.settings = {
      ...inside.commonServerOptions.settings,
      initialWindowSize: FOREIGN_WINDOW_BYTES,
      maxFrameSize: defaultLimits.maxFrameBytes,
    };
    const create = inside.createHttp2Server;
    inside.createHttp2Server = (credentials) => {
      const server = create.call(this, credentials);
      server.maxConnections = limits.maxConnections;
      const [toGrpcJs] = server.listeners("stream");
      server.removeAllListeners("stream");
      server.on("stream", (stream, headers, flags) => {
        const { session } = stream;
        const head = new ForeignHead(headers);
        // A stream without a session has ended since it was told of.
        const hasRoute = session !== undefined && this.#direct.hasRoute(head.path);
        if (hasRoute && this.#direct.open(new ForeignStream(stream, session, head, this.#budgetOf(session)))) {
          inside.onStreamOpened(stream);
        } else if (!hasRoute || makeRoom(stream, this.#budgetOf(session))) {
          toGrpcJs!.call(server, stream, headers, flags);
        }
      });
      server.on("session", (session) => session.setLocalWindowSize(defaultLimits.connectionWindowBytes));
      return server;
    };
  }

  #budgetOf(session: Http2Session): MemoryBudget {
    const before = this.#budgets.get(session);
    if (before !== undefined) return before;
    const budget = new MemoryBudget(this.#bytesPerConnection, this.#budget);
    this.#budgets.set(session, budget);
    return budget;
  }
}

/** For grpc-js, which knows "never" only as nothing at all. */
function timesFrom(limits: GrpcLimits): ServerOptions {
  const { keepaliveTimeMs, keepaliveTimeoutMs, maxConnectionIdleMs, maxConnectionAgeMs } = limits;
  return {
    ...(keepaliveTimeMs === 0 ? {} : { "grpc.keepalive_time_ms": keepaliveTimeMs }),
    "grpc.keepalive_timeout_ms": keepaliveTimeoutMs,
    ...(maxConnectionIdleMs === 0 ? {} : { "grpc.max_connection_idle_ms": maxConnectionIdleMs }),
    ...(maxConnectionAgeMs === 0 ? {} : { "grpc.max_connection_age_ms": maxConnectionAgeMs }),
  };
}

/**
 * A call that has a route and still goes to grpc-js, mostly because its messages are compressed, may pause like a
 * direct one: the window that it may fill then counts from the beginning. Other calls have small messages only.
 */
function makeRoom(stream: ServerHttp2Stream, budget: MemoryBudget): boolean {
  if (budget.take(FOREIGN_WINDOW_BYTES)) {
    stream.once("close", () => budget.release(FOREIGN_WINDOW_BYTES));
    return true;
  }
  stream.on("error", () => undefined);
  stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  return false;
}
