import { readFileSync } from "node:fs";
import { connect } from "node:http2";
import {
  Client,
  credentials,
  Metadata,
  type MethodDefinition,
  type ServiceError,
  status as statusNames,
} from "@grpc/grpc-js";
import { type InferRequestMessage, inferenceService } from "../../src/grpc/index.ts";

/** Where a server listens, and what a client needs to talk to it. */
export interface Target {
  readonly address: string;
  /** Turns on TLS. */
  readonly caFile?: string | undefined;
  /** The patient's own certificate, where the server asks for one. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

export type Method = "ModelInfer" | "ModelMetadata" | "ModelConfig" | "ModelReady" | "ServerMetadata";

/** What became of a call: an answer, or the word for what came instead. */
export type Ending = { readonly response: object } | { readonly word: string; readonly details: string };

export interface CallSettings {
  /** null for none. */
  readonly token: string | null;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** One connection of a client, and no more: grpc-js would otherwise share one among all clients of a process. */
export class Connection {
  readonly #client: Client;

  constructor({ address, caFile, certFile, keyFile }: Target) {
    const read = (file?: string) => (file === undefined ? null : readFileSync(file));
    const how =
      caFile === undefined
        ? credentials.createInsecure()
        : credentials.createSsl(read(caFile), read(keyFile), read(certFile));
    this.#client = new Client(address, how, {
      "grpc.use_local_subchannel_pool": 1,
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      // The certificate names it; an address is no name that TLS could ask for (RFC 6066 section 3).
      "grpc.ssl_target_name_override": "localhost",
    });
  }

  /** Never rejects. A Buffer goes out as it is. */
  call(method: Method, request: object, { token, timeoutMs, signal }: CallSettings): Promise<Ending> {
    const { path, requestSerialize, responseDeserialize } = inferenceService()[method] as MethodDefinition<
      object,
      object
    >;
    const serialize = (message: object) => (Buffer.isBuffer(message) ? message : requestSerialize(message));
    const metadata = new Metadata();
    if (token !== null) metadata.set("authorization", `Bearer ${token}`);
    return new Promise((resolve) => {
      const options = { deadline: Date.now() + timeoutMs };
      const call = this.#client.makeUnaryRequest(
        path,
        serialize,
        responseDeserialize,
        request,
        metadata,
        options,
        (error, response) => resolve(error ? endingOf(error) : { response: response! }),
      );
      signal?.addEventListener("abort", () => call.cancel(), { once: true });
    });
  }

  close(): void {
    this.#client.close();
  }
}

/** Signet's own code where the server sent one, else gRPC's status: `gRPC UNAVAILABLE`. */
function endingOf(error: ServiceError): Ending {
  const sent = error.metadata?.get("signet-code")[0];
  return { word: typeof sent === "string" ? sent : `gRPC ${statusNames[error.code]}`, details: error.details };
}

/** A client that sends its call and is gone without a word `afterMs` later, as a machine that loses its power. */
export async function vanish(target: Target, token: string, request: object, afterMs: number): Promise<void> {
  const { path, requestSerialize } = inferenceService().ModelInfer;
  const message = requestSerialize(request as InferRequestMessage);
  const head = Buffer.alloc(5); // gRPC's frame: not compressed, and the length
  head.writeUInt32BE(message.length, 1);
  const { address, caFile } = target;
  const session = connect(
    `${caFile === undefined ? "http" : "https"}://${address}`,
    caFile === undefined ? {} : { ca: readFileSync(caFile), servername: "localhost" },
  );
  session.on("error", () => {});
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    authorization: `Bearer ${token}`,
  });
  stream.on("error", () => {});
  stream.end(Buffer.concat([head, message]));
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  session.destroy();
}
