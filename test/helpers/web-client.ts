import { type ClientRequest, type IncomingHttpHeaders, request } from "node:http";
import { status } from "@grpc/grpc-js";
import { frame, methodOf } from "./bare-client.ts";

type Message = Record<string, unknown>;

export interface WebAnswer {
  readonly httpStatus: number;
  readonly headers: IncomingHttpHeaders;
  /** By gRPC's name; "none" where the answer has no trailers. */
  readonly status: string;
  /** Signet's own, where the call failed. */
  readonly code?: string;
  readonly details: string;
  readonly trailers: Readonly<Record<string, string>>;
  readonly messages: readonly Buffer[];
}

export interface WebSettings {
  /** A token instead of the client's; null for none. */
  readonly token?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sends and asks for base64. */
  readonly isText?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * gRPC-Web by hand, as PROTOCOL-WEB.md of gRPC has it: Node's HTTP, the .proto file, and nothing of src/. What a real
 * library in a real browser makes of the server is in test/e2e/browser.test.ts.
 */
export class WebClient {
  readonly #address: string;
  readonly #token: string | null;

  constructor(address: string, token: string | null) {
    this.#address = address;
    this.#token = token;
  }

  /** One call of the inference service with its requests; its responses come decoded. */
  async call(method: string, requests: Message | readonly Message[] = {}, settings: WebSettings = {}) {
    const { path, requestSerialize, responseDeserialize } = methodOf(method);
    const body = Buffer.concat([requests].flat().map((message) => frame(requestSerialize(message))));
    const answer = await this.send(path, body, settings);
    return { ...answer, responses: answer.messages.map((bytes) => responseDeserialize(bytes)) };
  }

  /** Sends any bytes as the body of any call. */
  async send(path: string, body: Uint8Array, settings: WebSettings = {}): Promise<WebAnswer> {
    const call = this.open(path, settings);
    call.end(settings.isText ? Buffer.from(body).toString("base64") : body);
    return answerTo(call);
  }

  /** A call whose body is still to be sent. */
  open(path: string, { token = this.#token, headers = {}, isText = false, signal }: WebSettings = {}): ClientRequest {
    const colon = this.#address.lastIndexOf(":");
    return request({
      host: this.#address.slice(0, colon),
      port: Number(this.#address.slice(colon + 1)),
      method: "POST",
      path,
      agent: false,
      signal,
      headers: {
        "content-type": isText ? "application/grpc-web-text" : "application/grpc-web+proto",
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...headers,
      },
    });
  }
}

/** The whole answer to a call. */
export async function answerTo(call: ClientRequest): Promise<WebAnswer> {
  return new Promise((resolve, reject) => {
    call.on("error", reject);
    call.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const isText = response.headers["content-type"]?.startsWith("application/grpc-web-text") === true;
        const bytes = isText ? decodeTexts(Buffer.concat(chunks).toString()) : Buffer.concat(chunks);
        const { messages, trailers } = parseFrames(bytes);
        const code = trailers["signet-code"] ?? response.headers["signet-code"];
        resolve({
          httpStatus: response.statusCode!,
          headers: response.headers,
          status: trailers["grpc-status"] === undefined ? "none" : status[Number(trailers["grpc-status"])]!,
          ...(code === undefined ? {} : { code: String(code) }),
          details: decodeURIComponent(trailers["grpc-message"] ?? ""),
          trailers,
          messages,
        });
      });
    });
  });
}

/** The frames that are complete. */
export function parseFrames(bytes: Buffer): { messages: Buffer[]; trailers: Record<string, string> } {
  const messages: Buffer[] = [];
  let trailers: Record<string, string> = {};
  for (let at = 0; at + 5 <= bytes.length; ) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    if (end > bytes.length) break;
    const content = bytes.subarray(at + 5, end);
    if (bytes[at] === 0x80) trailers = parseTrailers(content.toString("latin1"));
    else messages.push(content);
    at = end;
  }
  return { messages, trailers };
}

function parseTrailers(text: string): Record<string, string> {
  const lines = text.split("\r\n").filter((line) => line !== "");
  return Object.fromEntries(lines.map((line) => [line.split(":", 1)[0]!, line.slice(line.indexOf(":") + 1).trim()]));
}

/** Several base64 texts, each with its padding, as one. */
function decodeTexts(text: string): Buffer {
  return Buffer.concat((text.match(/[^=]+=*/g) ?? []).map((one) => Buffer.from(one, "base64")));
}
