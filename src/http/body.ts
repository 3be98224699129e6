import type { IncomingMessage, ServerResponse } from "node:http";
import { promisify } from "node:util";
import { gunzip, inflate } from "node:zlib";
import { SignetError } from "../errors.ts";

const decompressors = new Map([
  ["gzip", promisify(gunzip)],
  ["deflate", promisify(inflate)],
]);

/**
 * The body of a request, decompressed. Neither what is sent nor what it becomes may be longer than allowed.
 * @throws REQUEST_TOO_LARGE, REQUEST_MALFORMED, CANCELLED where the client goes away
 */
export async function readBody(request: IncomingMessage, response: ServerResponse, maxBytes: number): Promise<Buffer> {
  const encoding = request.headers["content-encoding"]?.trim().toLowerCase() ?? "identity";
  const decompress = decompressors.get(encoding);
  if (decompress === undefined && encoding !== "identity") {
    throw malformed(
      `content-encoding: expected gzip, deflate or none, found ${JSON.stringify(encoding.slice(0, 100))}`,
    );
  }
  const announced = Number(request.headers["content-length"] ?? 0);
  if (announced > maxBytes) throw tooLarge(maxBytes);
  // A client that waits to be asked has not sent its body to be thrown away where it was refused.
  if (expectsContinue(request)) response.writeContinue();
  const body = await collect(request, maxBytes);
  if (decompress === undefined) return body;
  try {
    return await decompress(body, { maxOutputLength: maxBytes });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(maxBytes);
    throw malformed(`body: expected ${encoding}, found something else`, cause);
  }
}

/** Whether the client sends its body only when it is asked to. */
export function expectsContinue({ headers }: IncomingMessage): boolean {
  return headers.expect?.toLowerCase() === "100-continue";
}

async function collect(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    // Not destroyed on the way out, so that a refusal can be answered.
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      bytes += (chunk as Buffer).length;
      if (bytes > maxBytes) throw tooLarge(maxBytes);
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
