import { ErrorCode } from "./frames.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import { areTrailersValid, type RequestHead, readRequestHead } from "./request-head.ts";

/** Blocks that are remembered with what they say, and how long one of them may be. */
const MAX_KNOWN = 16;
const MAX_KNOWN_BYTES = 64;

/**
 * Reads the header blocks of one connection. A client that makes the same call again and again sends the same few
 * bytes each time, indices of its table: as long as the table is the same, they mean the same.
 */
export class HeadReader {
  readonly #decoder: HpackDecoder;
  readonly #known = new Map<string, RequestHead>();
  #knownVersion = 0;

  constructor(maxListBytes: number) {
    this.#decoder = new HpackDecoder(maxListBytes);
  }

  /**
   * @returns the head of a request, or one of ErrorCode, to refuse the stream with
   * @throws ConnectionError COMPRESSION_ERROR
   */
  read(block: Buffer, start: number, end: number): RequestHead | number {
    const isShort = end - start <= MAX_KNOWN_BYTES;
    const key = isShort ? block.toString("latin1", start, end) : "";
    if (isShort && this.#decoder.version === this.#knownVersion) {
      const known = this.#known.get(key);
      if (known !== undefined) return known;
    }
    const decoded = this.#decoder.decode(block, start, end);
    if (decoded.isTooLarge) return ErrorCode.ENHANCE_YOUR_CALM;
    const head = readRequestHead(decoded);
    if (head === null) return ErrorCode.PROTOCOL_ERROR;
    if (isShort && decoded.isAllIndexed) this.#remember(key, head);
    return head;
  }

  /** @returns whether these are trailers as they may be */
  readTrailers(block: Buffer, start: number, end: number): boolean {
    return areTrailersValid(this.#decoder.decode(block, start, end));
  }

  #remember(key: string, head: RequestHead): void {
    if (this.#knownVersion !== this.#decoder.version || this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#knownVersion = this.#decoder.version;
    this.#known.set(key, head);
  }
}
