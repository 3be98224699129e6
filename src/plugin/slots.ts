import { closeSync } from "node:fs";
import { CONTROL_BYTES, controlOffsets } from "./abi.ts";
import { createMemoryFile, emptyMemoryFile, mapFile, resizeFile, sealSize, viewMemory } from "./libc.ts";
import { RINGS_BYTES, Rings } from "./rings.ts";
import { TaskBlock } from "./task-block.ts";

const PAGE_BYTES = 4096;
/** Tensors start on a cache line, which is also the widest alignment vector instructions ask for. */
const TENSOR_ALIGNMENT_BYTES = 64;

/** What both sides must know to find their way in the same memory. */
export interface SlotsLayout {
  readonly count: number;
  /** Room for tensors in one slot; whole pages. */
  readonly bytes: number;
  /** Tensors of a job. */
  readonly inputs: number;
  readonly outputs: number;
}

/** How far a job is, as its plugin says: all zeros where that says nothing. */
export interface Progress {
  /** 0 to 1000. */
  readonly permille: number;
  /** Which part of its work it is in, from 1. */
  readonly stage: number;
  /** Another number whenever the work has moved on; after 2^32 - 1 comes 0. */
  readonly heartbeat: number;
}

const MAX_PERMILLE = 1000;

/**
 * The memory that the gateway and one service host share. Each slot belongs to one job, from before it runs until its
 * outputs are sent: the job's control block, what both sides say about the job, and room for its tensors. The rings say
 * whose turn a slot is.
 *
 *     │ rings │ control, task │ inputs … outputs …  (bytes) │ control, task │ inputs … │ …
 *
 * All parts are whole pages. Pages that are never touched take no memory, so slots can be generous.
 */
export class Slots {
  readonly fd: number;
  readonly layout: SlotsLayout;
  readonly rings: Rings;
  readonly #base: bigint;
  readonly #headerBytes: number;
  readonly #data: (Buffer | undefined)[] = [];
  readonly #tasks: TaskBlock[] = [];
  readonly #control: Uint32Array[] = [];

  private constructor(fd: number, layout: SlotsLayout, address = mapFile(fd, totalBytes(layout), "shared")) {
    this.fd = fd;
    this.layout = layout;
    this.#headerBytes = headerBytes(layout);
    this.#base = address;
    this.rings = new Rings(viewMemory(this.#base, RINGS_BYTES), this.#base);
    for (let slot = 0; slot < layout.count; slot++) {
      const header = viewMemory(this.controlAddress(slot), this.#headerBytes);
      this.#tasks.push(new TaskBlock(header.subarray(CONTROL_BYTES), layout.inputs, layout.outputs));
      this.#control.push(new Uint32Array(header.buffer, 0, CONTROL_BYTES / 4));
    }
  }

  get count(): number {
    return this.layout.count;
  }

  /** New shared memory. Room for tensors is rounded up to whole pages. @param layout at most 256 slots */
  static create(layout: SlotsLayout): Slots {
    const rounded = { ...layout, bytes: wholePages(layout.bytes) };
    const fd = createMemoryFile("signet-slots");
    resizeFile(fd, totalBytes(rounded));
    sealSize(fd);
    return new Slots(fd, rounded);
  }

  /** The same memory seen from the other process, or from another thread of one that has it mapped at `address`. */
  static open(fd: number, layout: SlotsLayout, address?: bigint): Slots {
    return new Slots(fd, layout, address);
  }

  /** Where it is mapped in this process. */
  get address(): bigint {
    return this.#base;
  }

  /** All of it. */
  get bytes(): number {
    return totalBytes(this.layout);
  }

  controlAddress(slot: number): bigint {
    return this.#base + BigInt(RINGS_BYTES + slot * (this.#headerBytes + this.layout.bytes));
  }

  dataAddress(slot: number): bigint {
    return this.controlAddress(slot) + BigInt(this.#headerBytes);
  }

  data(slot: number): Buffer {
    const { bytes } = this.layout;
    this.#data[slot] ??= Buffer.from(viewMemory(this.dataAddress(slot), bytes).buffer, 0, bytes);
    return this.#data[slot];
  }

  task(slot: number): TaskBlock {
    return this.#tasks[slot]!;
  }

  /** Clears the control block for a new job. @param deadlineNs CLOCK_MONOTONIC; 0 for none */
  resetControl(slot: number, deadlineNs: number): void {
    const words = this.#control[slot]!;
    words.fill(0);
    words[controlOffsets.deadlineNs / 4] = deadlineNs % 2 ** 32;
    words[controlOffsets.deadlineNs / 4 + 1] = deadlineNs / 2 ** 32;
  }

  /** Asks the running job to stop; the plugin sees the word the next time it looks. */
  requestCancel(slot: number): void {
    Atomics.store(this.#control[slot]!, controlOffsets.cancel / 4, 1);
  }

  /** What the plugin says of the job that runs. It may write what it likes there, so the permille are cut to 1000. */
  progress(slot: number): Progress {
    const words = this.#control[slot]!;
    return {
      permille: Math.min(MAX_PERMILLE, Atomics.load(words, controlOffsets.progressPermille / 4)),
      stage: Atomics.load(words, controlOffsets.stage / 4),
      heartbeat: Atomics.load(words, controlOffsets.heartbeat / 4),
    };
  }

  /** Gives back the memory of a slot's tensors, which nobody uses; it reads as zeros. */
  empty(slot: number): void {
    emptyMemoryFile(this.fd, Number(this.dataAddress(slot) - this.#base), this.layout.bytes);
  }

  /**
   * Gives the memory back, when no process uses the slots any more. The addresses stay taken, and read as zeros:
   * a view that somebody still holds must not end this process.
   */
  release(): void {
    emptyMemoryFile(this.fd, 0, totalBytes(this.layout));
    closeSync(this.fd);
  }
}

/** The next offset at or after `offset` where a tensor may start. */
export function alignTensor(offset: number): number {
  return Math.ceil(offset / TENSOR_ALIGNMENT_BYTES) * TENSOR_ALIGNMENT_BYTES;
}

function wholePages(bytes: number): number {
  return Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
}

function headerBytes({ inputs, outputs }: SlotsLayout): number {
  return wholePages(CONTROL_BYTES + TaskBlock.bytes(inputs, outputs));
}

function totalBytes(layout: SlotsLayout): number {
  return RINGS_BYTES + layout.count * (headerBytes(layout) + layout.bytes);
}
