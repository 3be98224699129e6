import { Deadlines } from "../clock/index.ts";
import { type CallStream, DirectCall, type DirectRoute } from "./direct-call.ts";
import { parseTimeoutMs } from "./grpc-words.ts";

export interface DirectCallOptions {
  /** Calls that go straight to a handler, by path. */
  readonly direct?: ReadonlyMap<string, DirectRoute>;
  /** The longest message of a direct call; grpc-js has its own limit. Default 4 MiB, as there. */
  readonly maxMessageBytes?: number;
}

/** As grpc-js has it. */
const DEFAULT_MAX_MESSAGE_BYTES = 4 * 2 ** 20;

/** The direct calls of one server. */
export class DirectCalls {
  readonly #routes: ReadonlyMap<string, DirectRoute>;
  readonly #maxMessageBytes: number;
  readonly #deadlines = new Deadlines();

  constructor({ direct = new Map(), maxMessageBytes = DEFAULT_MAX_MESSAGE_BYTES }: DirectCallOptions) {
    this.#routes = direct;
    this.#maxMessageBytes = maxMessageBytes;
  }

  hasRoute(path: string): boolean {
    return this.#routes.has(path);
  }

  /**
   * Gives the call to its route. False where grpc-js must take it: what has no route, is not gRPC, compresses its
   * messages or has a deadline that is none, is answered there as it always was.
   */
  open(stream: CallStream): boolean {
    const { head } = stream;
    const route = this.#routes.get(head.path);
    if (route === undefined || head.method !== "POST") return false;
    if (!(head.get("content-type") ?? "").startsWith("application/grpc")) return false;
    const encoding = head.get("grpc-encoding");
    if (encoding !== undefined && encoding !== "identity") return false;
    const timeout = head.get("grpc-timeout");
    const timeoutMs = timeout === undefined ? Number.POSITIVE_INFINITY : parseTimeoutMs(timeout);
    if (Number.isNaN(timeoutMs)) return false;
    new DirectCall(stream, this.#deadlines, timeoutMs, this.#maxMessageBytes).open(route);
    return true;
  }
}
