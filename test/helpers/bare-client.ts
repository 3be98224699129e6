import { connect } from "node:http2";
import { fileURLToPath } from "node:url";
import {
  type ChannelOptions,
  Client,
  credentials,
  Metadata,
  type MethodDefinition,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { onTestFinished } from "vitest";

type Message = Record<string, unknown>;

/** A ModelInferRequest with what a test leaves out left out on the wire too. */
export interface BareInferRequest {
  readonly model_name: string;
  readonly model_version?: string;
  readonly id?: string;
  readonly parameters?: Message;
  readonly inputs?: readonly Message[];
  readonly outputs?: readonly Message[];
  readonly raw_input_contents?: readonly Uint8Array[];
}

export interface BareInferResponse {
  readonly model_name: string;
  readonly model_version: string;
  readonly id: string;
  readonly outputs: readonly { name: string; datatype: string; shape: string[]; contents: unknown }[];
  readonly raw_output_contents: readonly Buffer[];
}

export interface CallSettings {
  /** A token instead of the client's; null for none. */
  readonly token?: string | null;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

const protocol = loadSync(fileURLToPath(new URL("../../proto/inference.proto", import.meta.url)), {
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
})["inference.GRPCInferenceService"] as unknown as Record<string, MethodDefinition<Message, Message>>;

/**
 * What another implementation's client is: grpc-js and the .proto file, and nothing of src/. So a mistake in the
 * server's reading of the protocol is not made again, and hidden, by its own client.
 */
export class BareClient {
  readonly channel: Client;
  readonly #token: string | null;

  constructor(address: string, token: string | null, options: ChannelOptions = {}) {
    this.channel = new Client(address, credentials.createInsecure(), {
      // Tests start many servers; a channel must not be shared with one that has gone.
      "grpc.use_local_subchannel_pool": 1,
      "grpc.max_receive_message_length": -1,
      ...options,
    });
    this.#token = token;
  }

  call<Response = Message>(method: string, request: Message = {}, settings: CallSettings = {}): Promise<Response> {
    const { path, requestSerialize, responseDeserialize } = protocol[method]!;
    return this.#send(path, request, requestSerialize, responseDeserialize, settings) as Promise<Response>;
  }

  infer(request: BareInferRequest, settings: CallSettings = {}): Promise<BareInferResponse> {
    return this.call("ModelInfer", { ...request }, settings);
  }

  /** Sends any bytes as the request of any method. */
  send(path: string, bytes: Buffer, settings: CallSettings = {}): Promise<Buffer> {
    const asIs = (buffer: Buffer) => buffer;
    return this.#send(path, bytes, asIs, asIs, settings);
  }

  close(): void {
    this.channel.close();
  }

  #send<Request, Response>(
    path: string,
    request: Request,
    serialize: (request: Request) => Buffer,
    deserialize: (bytes: Buffer) => Response,
    { token = this.#token, timeoutMs = 20_000, signal }: CallSettings,
  ): Promise<Response> {
    const metadata = new Metadata();
    if (token !== null) metadata.set("authorization", `Bearer ${token}`);
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + timeoutMs };
      const call = this.channel.makeUnaryRequest(
        path,
        serialize,
        deserialize,
        request,
        metadata,
        options,
        (error, response) => (error ? reject(error) : resolve(response!)),
      );
      signal?.addEventListener("abort", () => call.cancel());
    });
  }
}

/** A bare client that is closed with the test. */
export function useBareClient(address: string, token: string | null, options?: ChannelOptions): BareClient {
  const client = new BareClient(address, token, options);
  onTestFinished(() => client.close());
  return client;
}

/** A method of the protocol as another implementation has it from the .proto file. */
export function methodOf(name: string): MethodDefinition<Message, Message> {
  return protocol[name]!;
}

/** A ModelInferRequest's bytes, for calls by hand. */
export function inferRequestBytes(request: BareInferRequest): Buffer {
  return protocol.ModelInfer!.requestSerialize({ ...request });
}

export interface Failure {
  /** gRPC's name of the status. */
  readonly status: string;
  /** Signet's own code, from the trailing metadata; absent where gRPC itself refused. */
  readonly code?: string;
}

/** How a call failed. A call that succeeds fails the test. */
export async function failureOf(call: Promise<unknown>): Promise<Failure> {
  const error = await call.then(
    () => {
      throw new Error("expected the call to fail, and it succeeded");
    },
    (thrown: ServiceError) => thrown,
  );
  if (error.code === undefined) throw error;
  const code = error.metadata.get("signet-code")[0];
  return { status: status[error.code]!, ...(code === undefined ? {} : { code: code.toString() }) };
}

/** A gRPC frame: the compressed flag, the length, the message. */
export function frame(message: Uint8Array, { compressed = false, length = message.length } = {}): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed ? 1 : 0);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, message]);
}

/** One gRPC call by hand, to send what no gRPC library would. Resolves with the status and Signet's code. */
export function callByHand(
  address: string,
  path: string,
  body: Uint8Array,
  headers: Record<string, string> = {},
): Promise<Failure> {
  return new Promise((resolve, reject) => {
    const session = connect(`http://${address}`);
    session.on("error", reject);
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    const take = (received: Record<string, unknown>) => {
      if (received["grpc-status"] === undefined) return;
      const code = received["signet-code"];
      resolve({
        status: status[Number(received["grpc-status"])]!,
        ...(code === undefined ? {} : { code: String(code) }),
      });
    };
    stream.on("response", take);
    stream.on("trailers", take);
    stream.on("error", reject);
    stream.on("close", () => {
      session.close();
      // Only the first of resolve and reject counts.
      reject(new Error("the call ended without a status"));
    });
    stream.resume();
    stream.end(body);
  });
}
