import type { Socket } from "node:net";
import { giveSlab } from "./slabs.ts";

/** Frames are gathered in buffers of this size; larger payloads are sent from where they are. */
const GATHER_BYTES = 64 * 1024;
/** Free buffers that are kept for all connections together. */
const MAX_FREE = 64;
const free: Buffer[] = [];

/** Memory that is somebody's, and lent to a connection until it has sent what is in it. */
export interface Lent {
  release(): void;
}

/** Outputs with something to send at the end of this turn of the event loop. */
const waiting: Output[] = [];

function flushWaiting(): void {
  const outputs = waiting.splice(0);
  for (const output of outputs) output.flush();
}

/**
 * What goes out on one connection: all frames of a turn of the event loop in one write. A buffer is borrowed for that
 * and given back as soon as the kernel has the bytes, so an idle connection has none.
 */
export class Output {
  /** Where to write next, after `reserve`: `buffer` from `at`. */
  buffer: Buffer = EMPTY;
  at = 0;
  /** While true, somebody will flush. */
  isCorked = false;

  readonly #socket: Socket;
  readonly #onDrained: () => void;
  /** Where what was not yet handed on begins in `buffer`. */
  #from = 0;
  #chunks: Buffer[] = [];
  #chunkBytes = 0;
  #borrowed: Buffer[] = [];
  /** To be given back with what was borrowed. */
  #slabs: Buffer[] = [];
  #lent: Lent[] = [];
  #isWaiting = false;
  #isClosed = false;

  /** @param onDrained when nothing waits for the socket any more */
  constructor(socket: Socket, onDrained: () => void) {
    this.#socket = socket;
    this.#onDrained = onDrained;
  }

  /** Bytes that the kernel has not taken. */
  get backlogBytes(): number {
    return this.#socket.writableLength + this.#chunkBytes + (this.at - this.#from);
  }

  /** Makes room for `bytes` at `buffer[at]`, and has them sent with this turn's. */
  reserve(bytes: number): void {
    if (this.at + bytes > this.buffer.length) {
      this.#seal();
      this.buffer = bytes > GATHER_BYTES ? Buffer.allocUnsafeSlow(bytes) : (free.pop() ?? newBuffer());
      this.#borrowed.push(this.buffer);
      this.at = 0;
      this.#from = 0;
    }
    if (!this.isCorked && !this.#isWaiting) {
      this.#isWaiting = true;
      if (waiting.push(this) === 1) setImmediate(flushWaiting);
    }
  }

  /** Sends bytes from where they are; they must not change until `onDrained`. */
  attach(bytes: Buffer): void {
    this.#seal();
    this.#chunks.push(bytes);
    this.#chunkBytes += bytes.length;
  }

  /** Gives a slab back when nothing that was attached waits for the socket any more. */
  recycle(slab: Buffer): void {
    if (this.#chunks.length === 0 && this.#socket.writableLength === 0) giveSlab(slab);
    else this.#slabs.push(slab);
  }

  /** The same for memory that was lent. */
  releaseWhenSent(lent: Lent): void {
    if (this.#isClosed || (this.#chunks.length === 0 && this.#socket.writableLength === 0)) lent.release();
    else this.#lent.push(lent);
  }

  /** The socket is closed: the kernel reads nothing of what it was given any more. */
  close(): void {
    this.#isClosed = true;
    this.#chunks = [];
    this.#releaseLent();
  }

  flush(): void {
    this.#isWaiting = false;
    this.#seal();
    const chunks = this.#chunks;
    if (chunks.length === 0) return;
    this.#chunks = [];
    this.#chunkBytes = 0;
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) return; // whatever is in flight keeps its memory
    if (chunks.length === 1) {
      socket.write(chunks[0]!, this.#onWritten);
    } else {
      socket.cork();
      for (let index = 0; index < chunks.length - 1; index++) socket.write(chunks[index]!);
      socket.write(chunks[chunks.length - 1]!, this.#onWritten);
      socket.uncork();
    }
    // Usually the kernel has taken everything at once.
    if (socket.writableLength === 0) this.#giveBack();
  }

  readonly #onWritten = (): void => {
    if (this.#socket.writableLength > 0) return;
    if (this.#chunks.length === 0 && this.at === this.#from) this.#giveBack();
    this.#onDrained();
  };

  #seal(): void {
    if (this.at === this.#from) return;
    const chunk = this.buffer.subarray(this.#from, this.at);
    this.#chunks.push(chunk);
    this.#chunkBytes += chunk.length;
    this.#from = this.at;
  }

  #giveBack(): void {
    for (const buffer of this.#borrowed) {
      if (buffer.length === GATHER_BYTES && free.length < MAX_FREE) free.push(buffer);
    }
    this.#borrowed = [];
    for (const slab of this.#slabs) giveSlab(slab);
    this.#slabs = [];
    this.#releaseLent();
    this.buffer = EMPTY;
    this.at = 0;
    this.#from = 0;
  }

  #releaseLent(): void {
    if (this.#lent.length === 0) return;
    for (const lent of this.#lent.splice(0)) lent.release();
  }
}

const EMPTY = Buffer.alloc(0);

function newBuffer(): Buffer {
  return Buffer.allocUnsafeSlow(GATHER_BYTES);
}
