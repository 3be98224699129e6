import { ConnectionError } from "./connection-error.ts";
import { ErrorCode } from "./frames.ts";

/** A header block that is spread over HEADERS and CONTINUATION (RFC 9113 section 4.3), while it comes. */
export class HeaderAssembler {
  /** 0 where no block is on its way. Until it is complete, nothing else may come (section 6.10). */
  streamId = 0;
  isEndStream = false;
  beganMs = 0;
  #pieces: Buffer[] = [];
  #bytes = 0;
  readonly #maxBytes: number;
  readonly #maxContinuations: number;

  constructor(maxBytes: number, maxContinuations: number) {
    this.#maxBytes = maxBytes;
    this.#maxContinuations = maxContinuations;
  }

  begin(streamId: number, isEndStream: boolean, nowMs: number): void {
    this.streamId = streamId;
    this.isEndStream = isEndStream;
    this.beganMs = nowMs;
  }

  /** @throws ConnectionError ENHANCE_YOUR_CALM */
  add(payload: Buffer, start: number, end: number): void {
    this.#bytes += end - start;
    if (this.#bytes > this.#maxBytes) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, `headers: expected at most ${this.#maxBytes} bytes`);
    }
    // The first piece is that of HEADERS.
    if (this.#pieces.length > this.#maxContinuations) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "headers in too many CONTINUATION frames");
    }
    this.#pieces.push(Buffer.from(payload.subarray(start, end)));
  }

  /** The whole block, once. */
  take(): Buffer {
    const block = Buffer.concat(this.#pieces, this.#bytes);
    this.streamId = 0;
    this.#pieces = [];
    this.#bytes = 0;
    return block;
  }
}
