import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Server } from "@grpc/grpc-js";
import { SignetError } from "../errors.ts";
import { grpcStatusFromError } from "./errors.ts";
import { WebStream } from "./web-stream.ts";

/** One way into grpc-js' server that it keeps for itself; a contract test tells when that is so no longer. */
interface Inside {
  _setupHandlers(listener: WebListener, interceptors: readonly []): void;
}

/** A listener as grpc-js knows one: it tells of streams. */
class WebListener extends EventEmitter {
  address(): null {
    return null;
  }
}

/** Room for what frames a message. */
const FRAMING_BYTES = 64;
const CONTENT_TYPE = /^application\/grpc-web(-text)?(?:\+proto)?(?:;.*)?$/;

/**
 * The way in for gRPC-Web, whichever listener it came by: a call becomes a stream (`web-stream.ts`), and grpc-js does
 * with it what it does with those of HTTP/2.
 */
export class WebEntrance {
  readonly #listener = new WebListener();
  readonly #maxBytes: number;

  constructor(server: Server, maxMessageBytes: number) {
    (server as unknown as Inside)._setupHandlers(this.#listener, []);
    this.#maxBytes = maxMessageBytes + FRAMING_BYTES;
  }

  /** @param hold told of every piece of the body that is kept until the answer is over; may throw SERVER_OVERLOADED */
  answer(request: IncomingMessage, response: ServerResponse, hold: (bytes: number) => void): void {
    const type = CONTENT_TYPE.exec(request.headers["content-type"] ?? "");
    const isText = type?.[1] !== undefined;
    const stream = new WebStream({ request, response, isText, maxBytes: this.#maxBytes, hold });
    const refusal = type === null ? "application/grpc-web as content-type" : refusedEncoding(request);
    if (refusal !== null) {
      stream.fail(grpcStatusFromError(new SignetError("REQUEST_MALFORMED", `expected ${refusal}, found another`)));
      return;
    }
    const path = request.url?.split("?", 1)[0];
    this.#listener.emit("stream", stream, { ...request.headers, ":path": path, ":authority": request.headers.host });
  }
}

/** Messages are compressed one by one, if at all. */
function refusedEncoding({ headers }: IncomingMessage): string | null {
  const encoding = headers["content-encoding"] ?? "identity";
  return encoding === "identity" ? null : "no content-encoding, which gRPC has in its messages,";
}
