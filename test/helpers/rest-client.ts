import { type IncomingHttpHeaders, request } from "node:http";
import { request as tlsRequest } from "node:https";
import { connect } from "node:net";
import type { SecureContextOptions } from "node:tls";

export interface RestAnswer {
  readonly status: number;
  /** Signet's own, where the call failed. */
  readonly code?: string;
}

export interface FullRestAnswer extends RestAnswer {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The body's, where it is JSON. */
  readonly json: unknown;
}

export interface RestRequest {
  /** A token instead of the client's; null for none. */
  readonly token?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON, or bytes as they are. */
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

/** What another program's client is: Node's HTTP, and nothing of src/. */
export class RestClient {
  readonly #address: string;
  readonly #token: string | null;
  readonly #tls: SecureContextOptions | null;

  constructor(address: string, token: string | null, tls: SecureContextOptions | null = null) {
    this.#address = address;
    this.#token = token;
    this.#tls = tls;
  }

  get(path: string, request: RestRequest = {}): Promise<FullRestAnswer> {
    return this.call("GET", path, request);
  }

  post(path: string, body?: unknown, request: RestRequest = {}): Promise<FullRestAnswer> {
    return this.call("POST", path, { ...request, body });
  }

  call(method: string, path: string, { token = this.#token, headers = {}, body, signal }: RestRequest = {}) {
    const colon = this.#address.lastIndexOf(":");
    const place = { host: this.#address.slice(0, colon), port: Number(this.#address.slice(colon + 1)) };
    const authorization = token === null ? {} : { authorization: `Bearer ${token}` };
    const options = {
      ...place,
      method,
      path,
      headers: { ...authorization, ...headers },
      agent: false as const,
      signal,
    };
    return new Promise<FullRestAnswer>((resolve, reject) => {
      const call = this.#tls === null ? request(options) : tlsRequest({ ...options, ...this.#tls });
      call.on("error", reject);
      call.on("response", (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const bytes = Buffer.concat(chunks);
          const code = response.headers["signet-code"];
          resolve({
            status: response.statusCode!,
            ...(code === undefined ? {} : { code: String(code) }),
            headers: response.headers,
            body: bytes,
            json:
              bytes.length > 0 && response.headers["content-type"] === "application/json"
                ? JSON.parse(bytes.toString())
                : undefined,
          });
        });
      });
      call.end(body === undefined || body instanceof Uint8Array ? body : JSON.stringify(body));
    });
  }
}

/** Status and code alone, for comparing. */
export async function statusOf(answer: Promise<RestAnswer>): Promise<RestAnswer> {
  const { status, code } = await answer;
  return { status, ...(code === undefined ? {} : { code }) };
}

/** The body of the binary-data extension: JSON, and bytes behind it. */
export function binaryBody(json: object, ...data: Uint8Array[]) {
  const text = Buffer.from(JSON.stringify(json));
  const headers = { "inference-header-content-length": `${text.length}`, "content-type": "application/octet-stream" };
  return { body: Buffer.concat([text, ...data]), headers };
}

/** What comes back on a connection for bytes by hand, until the server ends it or `until` is in it. */
export function sendByHand(address: string, bytes: string | Uint8Array, until?: string): Promise<string> {
  const colon = address.lastIndexOf(":");
  const socket = connect(Number(address.slice(colon + 1)), address.slice(0, colon));
  return new Promise((resolve) => {
    let received = "";
    const done = () => {
      socket.destroy();
      resolve(received);
    };
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
      if (until !== undefined && received.includes(until)) done();
    });
    socket.on("close", done);
    socket.on("error", done);
    socket.write(bytes);
  });
}
