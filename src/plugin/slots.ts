import { closeSync } from "node:fs";
import { controlOffsets } from "./abi.ts";
import { createMemoryFile, emptyMemoryFile, mapFile, resizeFile, sealSize, viewMemory } from "./libc.ts";

const PAGE_BYTES = 4096;
/** Tensors start on a cache line, which is also the widest alignment vector instructions ask for. */
const TENSOR_ALIGNMENT_BYTES = 64;

/**
 * The memory that the gateway and one service host share. Each slot belongs to one running job and has a
 * page for the job's control block followed by room for its tensors:
 *
 *     │ control (4 KiB) │ inputs … outputs …  (bytes) │ control │ inputs … │ …
 *
 * Pages that are never touched take no memory, so slots can be generous.
 */
export class Slots {
  readonly fd: number;
  readonly count: number;
  /** Room for tensors in one slot. */
  readonly bytes: number;
  readonly #base: bigint;
  readonly #data: Uint8Array[] = [];
  readonly #control: { words: Uint32Array; deadline: BigUint64Array }[] = [];

  private constructor(fd: number, count: number, bytes: number) {
    this.fd = fd;
    this.count = count;
    this.bytes = bytes;
    this.#base = mapFile(fd, count * (PAGE_BYTES + bytes), "shared");
    for (let slot = 0; slot < count; slot++) {
      this.#data.push(viewMemory(this.dataAddress(slot), bytes));
      const control = viewMemory(this.controlAddress(slot), PAGE_BYTES);
      this.#control.push({
        words: new Uint32Array(control.buffer, 0, 4),
        deadline: new BigUint64Array(control.buffer, controlOffsets.deadlineNs, 1),
      });
    }
  }

  /** New shared memory. @param bytes room for tensors per slot; rounded up to whole pages */
  static create(count: number, bytes: number): Slots {
    const rounded = Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
    const fd = createMemoryFile("signet-slots");
    resizeFile(fd, count * (PAGE_BYTES + rounded));
    sealSize(fd);
    return new Slots(fd, count, rounded);
  }

  /** The same memory seen from the other process, or from another thread of it. */
  static open(fd: number, count: number, bytes: number): Slots {
    return new Slots(fd, count, bytes);
  }

  controlAddress(slot: number): bigint {
    return this.#base + BigInt(slot) * BigInt(PAGE_BYTES + this.bytes);
  }

  dataAddress(slot: number): bigint {
    return this.controlAddress(slot) + BigInt(PAGE_BYTES);
  }

  data(slot: number): Uint8Array {
    return this.#data[slot]!;
  }

  /** Clears the control block for a new job. @param deadlineNs CLOCK_MONOTONIC; 0 for none */
  resetControl(slot: number, deadlineNs: bigint): void {
    const { words, deadline } = this.#control[slot]!;
    words.fill(0);
    deadline[0] = deadlineNs;
  }

  /** Asks the running job to stop; the plugin sees the word the next time it looks. */
  requestCancel(slot: number): void {
    Atomics.store(this.#control[slot]!.words, controlOffsets.cancel / 4, 1);
  }

  /**
   * Gives the memory back, when no process uses the slots any more. The addresses stay taken, and read as zeros:
   * a view that somebody still holds must not end this process.
   */
  release(): void {
    emptyMemoryFile(this.fd, this.count * (PAGE_BYTES + this.bytes));
    closeSync(this.fd);
  }
}

/** The next offset at or after `offset` where a tensor may start. */
export function alignTensor(offset: number): number {
  return Math.ceil(offset / TENSOR_ALIGNMENT_BYTES) * TENSOR_ALIGNMENT_BYTES;
}
