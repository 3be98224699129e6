import { type ClientDuplexStream, Metadata, type ServiceError, type StatusObject, status } from "@grpc/grpc-js";
import { onTestFinished } from "vitest";
import {
  type BareClient,
  type BareInferRequest,
  type BareInferResponse,
  type Failure,
  methodOf,
} from "./bare-client.ts";

export interface BareStreamResponse {
  readonly error_message: string;
  readonly infer_response: BareInferResponse & { readonly parameters: Record<string, Record<string, unknown>> };
}

export interface StreamSettings {
  /** Metadata beside the token. */
  readonly headers?: Record<string, string>;
  readonly timeoutMs?: number;
}

/** One ModelStreamInfer of a bare client. */
export class BareStream {
  readonly #call: ClientDuplexStream<BareInferRequest, BareStreamResponse>;
  readonly #responses: BareStreamResponse[] = [];
  readonly ended: Promise<Failure>;
  #trailers: StatusObject | undefined;

  constructor(client: BareClient, token: string | null, { headers = {}, timeoutMs = 60_000 }: StreamSettings = {}) {
    const { path, requestSerialize, responseDeserialize } = methodOf("ModelStreamInfer");
    const metadata = new Metadata();
    if (token !== null) metadata.set("authorization", `Bearer ${token}`);
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    this.#call = client.channel.makeBidiStreamRequest(
      path,
      requestSerialize as unknown as (request: BareInferRequest) => Buffer,
      responseDeserialize as unknown as (bytes: Buffer) => BareStreamResponse,
      metadata,
      { deadline: Date.now() + timeoutMs },
    );
    this.#call.on("data", (response) => this.#responses.push(response));
    this.#call.on("error", (_: ServiceError) => undefined); // `ended` tells it
    this.ended = new Promise((resolve) => {
      this.#call.on("status", (ended) => {
        this.#trailers = ended;
        const code = ended.metadata.get("signet-code")[0];
        resolve({ status: status[ended.code]!, ...(code === undefined ? {} : { code: code.toString() }) });
      });
    });
    onTestFinished(() => this.#call.cancel());
  }

  /** What came so far, in order. */
  get responses(): readonly BareStreamResponse[] {
    return this.#responses;
  }

  get trailers(): Metadata | undefined {
    return this.#trailers?.metadata;
  }

  /** False where the client holds the message back, as the server reads no further. */
  send(request: BareInferRequest): boolean {
    return this.#call.write(request);
  }

  /** Sends no more. Resolves with how the stream ended. */
  end(): Promise<Failure> {
    this.#call.end();
    return this.ended;
  }

  cancel(): void {
    this.#call.cancel();
  }

  /** Takes no more responses until `resume`. */
  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }
}
