import type { ServerUnaryCall, ServerWritableStream, sendUnaryData, UntypedServiceImplementation } from "@grpc/grpc-js";
import { SignetError } from "../errors.ts";
import { grpcStatusFromError } from "./errors.ts";

interface HealthRequest {
  readonly service: string;
}

interface HealthResponse {
  readonly status: "SERVING" | "NOT_SERVING" | "SERVICE_UNKNOWN";
}

type Watch = ServerWritableStream<HealthRequest, HealthResponse>;

/** Longer than the name of any service; whoever asks has no token, and what they ask for is kept while they watch. */
const MAX_NAME = 256;

/**
 * grpc.health.v1 with Check and Watch, open to all, as load balancers need it. List is not offered: it would tell
 * the names of the services to whoever asks. Written here because grpc-health-check's own implementation keeps
 * every name that was ever watched.
 */
export class Health {
  readonly #serving = new Map<string, boolean>([["", false]]);
  readonly #watches = new Set<Watch>();

  /** The empty name is the server as a whole. */
  setServing(service: string, isServing: boolean): void {
    if (this.#serving.get(service) === isServing) return;
    this.#serving.set(service, isServing);
    for (const watch of this.#watches) if (watch.request.service === service) watch.write(this.#of(service));
  }

  /** The service is not there any more; who watches it is told, and it may come back. */
  forget(service: string): void {
    if (!this.#serving.delete(service)) return;
    for (const watch of this.#watches) if (watch.request.service === service) watch.write(this.#of(service));
  }

  /** Ends all watches, which would otherwise keep their connections open. */
  close(): void {
    for (const watch of this.#watches) watch.end();
    this.#watches.clear();
  }

  get handlers(): UntypedServiceImplementation {
    return {
      Check: (call: ServerUnaryCall<HealthRequest, HealthResponse>, callback: sendUnaryData<HealthResponse>) => {
        const response = this.#of(call.request.service);
        if (response.status !== "SERVICE_UNKNOWN") callback(null, response);
        else callback(grpcStatusFromError(unknown(call.request.service)));
      },
      // An unknown service may be watched, says the protocol: it may yet come.
      Watch: (call: Watch) => {
        if (call.request.service.length > MAX_NAME) {
          call.emit("error", grpcStatusFromError(unknown(call.request.service)));
          return;
        }
        this.#watches.add(call);
        call.on("cancelled", () => this.#watches.delete(call));
        call.write(this.#of(call.request.service));
      },
    };
  }

  #of(service: string): HealthResponse {
    const isServing = this.#serving.get(service);
    if (isServing === undefined) return { status: "SERVICE_UNKNOWN" };
    return { status: isServing ? "SERVING" : "NOT_SERVING" };
  }
}

function unknown(service: string): SignetError {
  return new SignetError(
    "SERVICE_NOT_FOUND",
    `health of ${JSON.stringify(service.slice(0, MAX_NAME))}: no such service`,
  );
}
