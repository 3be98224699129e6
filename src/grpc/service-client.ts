import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type CallOptions,
  ChannelCredentials,
  type Client,
  type ClientReadableStream,
  type ClientWritableStream,
  Metadata,
  makeClientConstructor,
  type ServiceDefinition,
  type ServiceError,
} from "@grpc/grpc-js";
import { fileError, SignetError } from "../errors.ts";
import { isKeyOf } from "../listener/index.ts";
import { errorFromCall, parseServerAddress } from "./connection.ts";
import { PUSHBACK_KEY } from "./errors.ts";

/** Where a server is, and who calls it. */
export interface ClientOptions {
  /** `host:port`; the port may be left out. */
  readonly server: string;
  readonly token?: string | undefined;
  /** A PEM file of CA certificates; turns on TLS. */
  readonly caFile?: string | undefined;
  /** PEM files of a client certificate and its key; they turn on TLS too. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** For each call that is answered once. */
  readonly timeoutMs: number;
}

type Unary = (
  request: unknown,
  metadata: Metadata,
  options: CallOptions,
  callback: (error: ServiceError | null, response: unknown) => void,
) => void;

type Streaming = (request: unknown, metadata: Metadata) => ClientReadableStream<unknown>;

type Uploading = (
  metadata: Metadata,
  callback: (error: ServiceError | null, response: unknown) => void,
) => ClientWritableStream<unknown>;

/** @throws FILE_UNREADABLE, USAGE */
function createChannelCredentials({ caFile, certFile, keyFile }: ClientOptions): ChannelCredentials {
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new SignetError("USAGE", "expected a client certificate together with its key, found one of them");
  }
  const [ca = null, key = null, cert = null] = [caFile, keyFile, certFile].map((file) => file && readPem(file));
  if (!ca && !cert) return ChannelCredentials.createInsecure();
  // OpenSSL would take a file without certificates for an empty list, and then no server for genuine.
  if (ca) parsePem("certificates", caFile, () => new X509Certificate(ca));
  const certificate = cert && parsePem("a certificate", certFile, () => new X509Certificate(cert));
  // OpenSSL would take a key of another kind too, and then show no certificate.
  const isItsKey = certificate && key ? isKeyOf(certificate, key) : true;
  if (isItsKey === null) {
    throw new SignetError("USAGE", `${keyFile}: expected a key without a passphrase in PEM, found something else`);
  }
  if (!isItsKey) throw new SignetError("USAGE", `${keyFile}: is not the key of ${certFile}`);
  return ChannelCredentials.createSsl(ca || null, key || null, cert || null);
}

function parsePem<T>(what: string, file: string | undefined, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new SignetError("USAGE", `${file}: expected ${what} in PEM, found something else`, { cause });
  }
}

function readPem(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw fileError(file, cause);
  }
}

/** A client of one gRPC service of a Signet server. Its errors are the server's own, by code. */
export class ServiceClient {
  readonly #client: Client & Record<string, Unary & Streaming>;
  readonly #options: ClientOptions;
  readonly #server: string;

  /** @throws USAGE for what is no address, a token that no header can carry or a CA file without certificates; FILE_UNREADABLE */
  constructor(service: ServiceDefinition, options: ClientOptions) {
    if (options.token !== undefined && !/^[\x21-\x7e]*$/.test(options.token)) {
      throw new SignetError("USAGE", "the access token: expected no spaces and only ASCII characters, found others");
    }
    const Constructor = makeClientConstructor(service, "Signet");
    const credentials = createChannelCredentials(options);
    this.#options = options;
    this.#server = parseServerAddress(options.server);
    this.#client = new Constructor(this.#server, credentials, {
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
    }) as unknown as Client & Record<string, Unary & Streaming>;
  }

  /** Where the caller's rate is used up it waits as the server says, if there is time for that. */
  async call<Response>(method: string, request: unknown): Promise<Response> {
    const deadline = Date.now() + this.#options.timeoutMs;
    for (;;) {
      try {
        return (await this.#callOnce(method, request, deadline)) as Response;
      } catch (thrown) {
        const failure = thrown as ServiceError;
        const error = this.#errorFrom(failure);
        const waitMs = Number(failure.metadata?.get(PUSHBACK_KEY)[0]);
        // Neither where the server said none; less than 0 means never.
        if (error.code !== "RATE_LIMITED" || !(waitMs > 0) || Date.now() + waitMs >= deadline) throw error;
        await sleep(waitMs);
      }
    }
  }

  /** The answers of a call that has many, for as long as the server sends them; leaving the loop ends the call. */
  async *stream<Response>(method: string, request: unknown): AsyncGenerator<Response> {
    const call = this.#client[method]!(request, this.#metadata()) as ClientReadableStream<unknown>;
    try {
      for await (const response of call) yield response as Response;
    } catch (thrown) {
      throw this.#errorFrom(thrown as ServiceError);
    } finally {
      call.cancel();
    }
  }

  /**
   * Sends many messages, as fast as the server takes them, for one answer. What their source fails with ends the call,
   * and is what this fails with.
   */
  async upload<Response>(method: string, messages: AsyncIterable<unknown>): Promise<Response> {
    const answer = Promise.withResolvers<unknown>();
    // It may come while the messages are still on their way.
    answer.promise.catch(() => {});
    const send = this.#client[method] as unknown as Uploading;
    let isOver = false;
    const call = send.call(this.#client, this.#metadata(), (error, response) => {
      isOver = true;
      if (error) answer.reject(this.#errorFrom(error));
      else answer.resolve(response);
      call.emit("drain"); // nobody waits any more for room that will not come
    });
    try {
      for await (const message of messages) {
        if (isOver) break;
        if (!call.write(message)) await once(call, "drain");
      }
      call.end();
    } catch (error) {
      call.cancel();
      throw error;
    }
    return (await answer.promise) as Response;
  }

  close(): void {
    this.#client.close();
  }

  #callOnce(method: string, request: unknown, deadline: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#client[method]!(request, this.#metadata(), { deadline }, (error, response) => {
        if (error) reject(error);
        else resolve(response);
      });
    });
  }

  #metadata(): Metadata {
    const metadata = new Metadata();
    if (this.#options.token !== undefined) metadata.set("authorization", `Bearer ${this.#options.token}`);
    return metadata;
  }

  #errorFrom(failure: ServiceError): SignetError {
    const { timeoutMs, caFile } = this.#options;
    return errorFromCall(failure, { server: this.#server, usesTls: caFile !== undefined, timeoutMs });
  }
}
