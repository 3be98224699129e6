import type { Stream } from "./stream.ts";

/** Streams that we reset and whose frames may still be on their way. */
const REMEMBERED_RESETS = 1024;
const REMEMBERED_ENDS = 64;

/** The streams of one connection, and what must be remembered of those that were. */
export class StreamTable {
  readonly #open = new Map<number, Stream>();
  /** Made when it is first needed: most connections live without. */
  #reset: Int32Array | null = null;
  readonly #ended = new Int32Array(REMEMBERED_ENDS);
  #resets = 0;
  #ends = 0;
  /** The highest id that a client used; lower ones cannot be begun any more (RFC 9113 section 5.1.1). */
  lastId = 0;

  get size(): number {
    return this.#open.size;
  }

  get(id: number): Stream | undefined {
    return this.#open.get(id);
  }

  values(): Iterable<Stream> {
    return this.#open.values();
  }

  add(stream: Stream): void {
    this.#open.set(stream.id, stream);
  }

  /** @param isReset whether we ended it while the client may not know */
  remove(id: number, isReset: boolean): void {
    this.#open.delete(id);
    if (isReset) {
      this.#reset ??= new Int32Array(REMEMBERED_RESETS);
      this.#reset[this.#resets++ % REMEMBERED_RESETS] = id;
    } else this.#ended[this.#ends++ % REMEMBERED_ENDS] = id;
  }

  /** Whether the client could have sent a frame of this stream before it learned that we had reset it. */
  wasReset(id: number): boolean {
    return this.#reset?.includes(id) ?? false;
  }

  /** Whether it ended lately. Those before cannot be told from such as were never begun. */
  hasEnded(id: number): boolean {
    return this.#ended.includes(id);
  }
}
