import { readUint32 } from "./frames.ts";
import type { MemoryBudget } from "./memory-budget.ts";
import { giveSlab, MIN_SLAB_BYTES, takeSlab } from "./slabs.ts";

/** The compressed flag and the length, before each message ("Length-Prefixed-Message" of gRPC over HTTP/2). */
export const PREFIX_BYTES = 5;
/** What a message gets at first. A longer one gets more as it comes: announcing much must not cost us much. */
const FIRST_BYTES = 2 ** 20;
const GROWTH = 4;
/** What a small message costs beside its bytes: objects of Node's. A window full of empty messages must count. */
const OBJECT_BYTES = 256;

export interface MessageSink {
  /** The prefix of a message has come, not all of the message. Where it is too long, this is the time to say so. */
  onMessageBegin(prefix: Buffer): void;
  /** A message has come, whole, with its prefix. The buffer is the receiver's. */
  onMessage(framed: Buffer): void;
}

/**
 * Cuts a stream's content into gRPC's messages. Each is copied once, from where the socket's bytes are read into a
 * buffer of its own, and counted against the memory budget for as long as the stream wants.
 */
export class MessageReader {
  readonly #budget: MemoryBudget;
  readonly #sink: MessageSink;
  /** A prefix that comes in pieces, which is rare. */
  #prefix: Buffer | null = null;
  #framed: Buffer | null = null;
  /** What `#framed` is in, where that may be used again. */
  #slab: Buffer | null = null;
  /** Of the messages that were given out. */
  #slabs: Buffer[] = [];
  /** Of the prefix or the message. */
  #filled = 0;
  #wanted = 0;
  #heldBytes = 0;
  /** Of them, for the message that is coming. */
  #comingBytes = 0;
  /** And for the message that was given out last. */
  #latestBytes = 0;
  #isStopped = false;

  constructor(budget: MemoryBudget, sink: MessageSink) {
    this.#budget = budget;
    this.#sink = sink;
  }

  /** Whether a message has begun and not ended. */
  get isInside(): boolean {
    return this.#filled > 0;
  }

  /** Takes some content. @returns false where there is no memory for it; nothing more is taken then. */
  push(bytes: Buffer, start: number, end: number): boolean {
    let at = start;
    while (at < end && !this.#isStopped) {
      if (this.#framed !== null) {
        if (this.#filled === this.#framed.length && !this.#grow(this.#framed)) return false;
        at += this.#fill(this.#framed, bytes, at, end);
      } else if (this.#filled === 0 && end - at >= PREFIX_BYTES) {
        at += PREFIX_BYTES;
        if (!this.#begin(bytes, at - PREFIX_BYTES, end - at)) return false;
      } else {
        this.#prefix ??= Buffer.allocUnsafe(PREFIX_BYTES);
        at += this.#fill(this.#prefix, bytes, at, end);
        if (this.#filled < PREFIX_BYTES) return true;
        if (!this.#begin(this.#prefix, 0, end - at)) return false;
      }
      if (this.#framed !== null && this.#filled === this.#wanted) this.#end(this.#framed);
    }
    return true;
  }

  /** The messages that were given out count no longer; with `butLatest`, all but the last one. */
  releaseMessages(butLatest = false): void {
    const kept = this.#comingBytes + (butLatest ? this.#latestBytes : 0);
    this.#budget.release(this.#heldBytes - kept);
    this.#heldBytes = kept;
    if (!butLatest) this.#latestBytes = 0;
  }

  /**
   * One message that was given out counts no longer.
   * @param message without its prefix
   * @returns its memory, where that can be used again
   */
  releaseMessage(message: Buffer): Buffer | null {
    if (this.#isStopped) return null;
    const framedBytes = PREFIX_BYTES + message.length;
    const index = framedBytes < MIN_SLAB_BYTES ? -1 : this.#slabs.findIndex(({ buffer }) => buffer === message.buffer);
    const slab = index < 0 ? null : this.#slabs.splice(index, 1)[0]!;
    const bytes = slab?.length ?? framedBytes + OBJECT_BYTES;
    this.#heldBytes -= bytes;
    this.#budget.release(bytes);
    return slab;
  }

  /** The memory of the messages that were given out, for somebody who knows that nobody reads it any more. */
  takeSlabs(): readonly Buffer[] {
    if (this.#slabs.length === 0) return NONE;
    const slabs = this.#slabs;
    this.#slabs = [];
    return slabs;
  }

  /** Takes nothing more and holds nothing. Messages that were given out stay their receiver's. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#slabs = [];
    if (this.#slab !== null) giveSlab(this.#slab);
    this.#slab = null;
    this.#framed = null;
    this.#filled = 0;
    this.#comingBytes = 0;
    this.#budget.release(this.#heldBytes);
    this.#heldBytes = 0;
  }

  #fill(target: Buffer, bytes: Buffer, start: number, end: number): number {
    const length = Math.min(target.length - this.#filled, end - start);
    if (length < 64) for (let index = 0; index < length; index++) target[this.#filled + index] = bytes[start + index]!;
    else bytes.copy(target, this.#filled, start, start + length);
    this.#filled += length;
    return length;
  }

  /** @param present how much of the message itself is there already */
  #begin(source: Buffer, at: number, present: number): boolean {
    this.#filled = PREFIX_BYTES;
    const length = readUint32(source, at + 1);
    this.#wanted = PREFIX_BYTES + length;
    if (length > present) {
      this.#sink.onMessageBegin(Buffer.from(source.subarray(at, at + PREFIX_BYTES)));
      if (this.#isStopped) return true;
    }
    const framed = this.#allocate(Math.min(this.#wanted, FIRST_BYTES));
    if (framed === null) return false;
    for (let index = 0; index < PREFIX_BYTES; index++) framed[index] = source[at + index]!;
    this.#framed = framed;
    return true;
  }

  #grow(before: Buffer): boolean {
    const heldBytes = this.#comingBytes;
    const used = this.#slab;
    const framed = this.#allocate(Math.min(this.#wanted, before.length * GROWTH));
    if (framed === null) return false;
    before.copy(framed, 0, 0, this.#filled);
    this.#framed = framed;
    this.#heldBytes -= heldBytes;
    this.#budget.release(heldBytes);
    if (used !== null) giveSlab(used);
    return true;
  }

  #allocate(bytes: number): Buffer | null {
    const slab = bytes < MIN_SLAB_BYTES ? null : takeSlab(bytes);
    const heldBytes = slab?.length ?? bytes + OBJECT_BYTES;
    if (!this.#budget.take(heldBytes)) {
      if (slab !== null) giveSlab(slab);
      this.stop();
      return null;
    }
    this.#heldBytes += heldBytes;
    this.#comingBytes = heldBytes;
    this.#slab = slab;
    return slab === null ? Buffer.allocUnsafe(bytes) : slab.subarray(0, bytes);
  }

  #end(framed: Buffer): void {
    this.#latestBytes = this.#comingBytes;
    this.#comingBytes = 0;
    if (this.#slab !== null) this.#slabs.push(this.#slab);
    this.#slab = null;
    this.#framed = null;
    this.#filled = 0;
    this.#sink.onMessage(framed);
  }
}

const NONE: readonly Buffer[] = [];
