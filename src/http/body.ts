import type { IncomingMessage, ServerResponse } from "node:http";
import { promisify } from "node:util";
import { gunzip, inflate } from "node:zlib";
import { SignetError } from "../errors.ts";
import type { BodyBudget } from "./body-budget.ts";

const decompressors = new Map([
  ["gzip", promisify(gunzip)],
  ["deflate", promisify(inflate)],
]);

export interface BodyLimits {
  /** As sent, and as decompressed. */
  readonly maxBytes: number;
  /** Holds what was read until the request is answered. */
  readonly budget: BodyBudget;
}

/**
 * The body of a request, decompressed. Neither what is sent nor what it becomes may be longer than allowed.
 * @throws REQUEST_TOO_LARGE, REQUEST_MALFORMED, SERVER_OVERLOADED, CANCELLED where the client goes away
 */
export async function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  { maxBytes, budget }: BodyLimits,
): Promise<Buffer> {
  const encoding = request.headers["content-encoding"]?.trim().toLowerCase() ?? "identity";
  const decompress = decompressors.get(encoding);
  if (decompress === undefined && encoding !== "identity") {
    throw malformed(
      `content-encoding: expected gzip, deflate or none, found ${JSON.stringify(encoding.slice(0, 100))}`,
    );
  }
  const announced = Number(request.headers["content-length"] ?? 0);
  if (announced > maxBytes) throw tooLarge(maxBytes);
  let held = 0;
  const hold = (bytes: number) => {
    held += budget.take(bytes);
  };
  response.once("close", () => budget.giveBack(held));
  // A client that waits to be asked has not sent its body to be thrown away where it was refused.
  if (expectsContinue(request)) response.writeContinue();
  const body = await collect(request, maxBytes, hold);
  if (decompress === undefined) return body;
  try {
    const decompressed = await decompress(body, { maxOutputLength: maxBytes });
    hold(decompressed.byteLength);
    return decompressed;
  } catch (cause) {
    if (cause instanceof SignetError) throw cause;
    if ((cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(maxBytes);
    throw malformed(`body: expected ${encoding}, found something else`, cause);
  }
}

/** Whether the client sends its body only when it is asked to. */
export function expectsContinue({ headers }: IncomingMessage): boolean {
  return headers.expect?.toLowerCase() === "100-continue";
}

async function collect(request: IncomingMessage, maxBytes: number, hold: (bytes: number) => void): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    // Not destroyed on the way out, so that a refusal can be answered.
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      bytes += (chunk as Buffer).length;
      if (bytes > maxBytes) throw tooLarge(maxBytes);
      hold((chunk as Buffer).length);
      chunks.push(chunk as Buffer);
    }
  } catch (error) {
    if (error instanceof SignetError) throw error;
    throw new SignetError("CANCELLED", "the client went away before its request was complete", { cause: error });
  }
  return Buffer.concat(chunks, bytes);
}

function tooLarge(maxBytes: number): SignetError {
  return new SignetError("REQUEST_TOO_LARGE", `body: expected at most ${maxBytes} bytes, after decompression too`);
}

function malformed(message: string, cause?: unknown): SignetError {
  return new SignetError("REQUEST_MALFORMED", message, { cause });
}
