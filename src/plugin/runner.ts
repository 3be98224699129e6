import koffi from "koffi";
import { datatypeFromOnnx, datatypes, elementCount, MAX_RANK, type TensorSpec } from "../tensor/index.ts";
import { releaseProto, runProto, SIGNET_OK, signetPlugin, TENSOR_BYTES, tensorOffsets } from "./abi.ts";
import { copyMemory } from "./libc.ts";
import { addressOf, errorText } from "./library.ts";
import { alignTensor, Slots, type SlotsLayout } from "./slots.ts";
import type { TaskBlock } from "./task-block.ts";

export interface RunnerOptions {
  /** Address of the plugin's function table and of the instance, both valid in every thread. */
  readonly plugin: bigint;
  readonly instance: bigint;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /** Mapped once for all threads, at this address. */
  readonly slots: { readonly fd: number; readonly layout: SlotsLayout; readonly address: bigint };
}

const ERROR_BYTES = 2048;
const TWO_TO_32 = 2 ** 32;
const TENSOR_WORDS = TENSOR_BYTES / 4;
const word = {
  dtype: tensorOffsets.dtype / 4,
  rank: tensorOffsets.rank / 4,
  shape: tensorOffsets.shape / 4,
  data: tensorOffsets.data / 4,
  nbytes: tensorOffsets.nbytes / 4,
  owner: tensorOffsets.owner / 4,
} as const;

/**
 * Calls a plugin's run() from one worker thread. Descriptors are packed into two blocks that are reused for
 * every call; names and blocks stay referenced here for as long as the plugin may read them.
 */
export class Runner {
  readonly slots: Slots;
  readonly #options: RunnerOptions;
  readonly #run: (...args: unknown[]) => number;
  readonly #release: (instance: bigint, owner: bigint) => void;
  readonly #inputs: Descriptors;
  readonly #outputs: Descriptors;
  /** Of each output: its size where the shape is fixed, or null where only the plugin knows it. */
  readonly #knownBytes: readonly (number | null)[];
  /** Of each output in the present call. */
  readonly #roomOffsets: Float64Array;
  readonly #roomBytes: Float64Array;
  readonly #error = Buffer.alloc(ERROR_BYTES);

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.slots = Slots.open(options.slots.fd, options.slots.layout, options.slots.address);
    const table = koffi.decode(options.plugin, signetPlugin) as { run: bigint; release: bigint };
    this.#run = koffi.decode(table.run, runProto);
    this.#release = koffi.decode(table.release, releaseProto);
    this.#inputs = new Descriptors(options.inputs);
    this.#outputs = new Descriptors(options.outputs);
    this.#knownBytes = options.outputs.map(knownBytes);
    this.#roomOffsets = new Float64Array(options.outputs.length);
    this.#roomBytes = new Float64Array(options.outputs.length);
  }

  /**
   * Runs the job whose inputs were written into the slot, in place, and writes into its task what became of it. Never
   * throws for what a plugin does; a crash ends the process.
   * @returns how long the plugin took, us
   */
  run(slot: number): number {
    const task = this.slots.task(slot);
    // It lay ahead in the ring, and the gateway took it back.
    if (!task.claim()) {
      task.fail("skipped", 1, "");
      return 0;
    }
    const base = Number(this.slots.dataAddress(slot));
    this.#writeInputs(base, task);
    this.#offerRoom(base, task.outputsOffset);
    this.#error[0] = 0;
    const startedMs = performance.now();
    const status = this.#run(
      this.#options.instance,
      this.#inputs.block,
      this.#options.inputs.length,
      this.#outputs.block,
      this.#options.outputs.length,
      this.slots.controlAddress(slot),
      this.#error,
      ERROR_BYTES,
    );
    const runUs = (performance.now() - startedMs) * 1000;
    if (status !== SIGNET_OK) task.fail("plugin", status, errorText(this.#error));
    else this.#collect(base, task, runUs);
    return runUs;
  }

  #writeInputs(base: number, task: TaskBlock): void {
    for (let index = 0; index < this.#options.inputs.length; index++) {
      const rank = task.inputRank(index);
      this.#inputs.set32(index, word.rank, rank);
      for (let axis = 0; axis < rank; axis++) {
        this.#inputs.set64(index, word.shape + axis * 2, task.inputSize(index, axis));
      }
      this.#inputs.set64(index, word.data, base + task.inputOffset(index));
      this.#inputs.set64(index, word.nbytes, task.inputBytes(index));
    }
  }

  /** Outputs of known size get exactly that; the others share what is left of the slot. */
  #offerRoom(base: number, outputsOffset: number): void {
    const known = this.#knownBytes;
    const slotBytes = this.slots.layout.bytes;
    let fixed = 0;
    let open = 0;
    for (const bytes of known) {
      if (bytes === null) open++;
      else fixed += alignTensor(bytes);
    }
    const left = Math.max(0, slotBytes - outputsOffset - fixed);
    const share = open === 0 ? 0 : Math.floor(left / open / 64) * 64;
    let offset = outputsOffset;
    for (let index = 0; index < known.length; index++) {
      const bytes = Math.max(0, Math.min(known[index] ?? share, slotBytes - offset));
      this.#roomOffsets[index] = offset;
      this.#roomBytes[index] = bytes;
      this.#outputs.clear(index);
      this.#outputs.set64(index, word.data, bytes === 0 ? 0 : base + offset);
      this.#outputs.set64(index, word.nbytes, bytes);
      offset = Math.min(slotBytes, offset + alignTensor(bytes));
    }
  }

  #collect(base: number, task: TaskBlock, runUs: number): void {
    let hasFailed = false;
    for (let index = 0; index < this.#options.outputs.length; index++) {
      const outputs = this.#outputs;
      const owner = outputs.get64(index, word.owner);
      if (!hasFailed) hasFailed = !this.#collectOne(base, task, index, owner !== 0);
      // The next call starts from the licensed datatype again, whatever the plugin wrote here.
      outputs.set32(index, word.dtype, datatypes[this.#options.outputs[index]!.datatype].onnx);
      if (owner !== 0) this.#release(this.#options.instance, outputs.getAddress(index, tensorOffsets.owner));
    }
    if (!hasFailed) task.succeed(runUs);
  }

  /** A descriptor that contradicts itself is refused before any of its bytes are touched. */
  #collectOne(base: number, task: TaskBlock, index: number, isOwned: boolean): boolean {
    const outputs = this.#outputs;
    const { name } = this.#options.outputs[index]!;
    const refuse = (message: string) => {
      task.fail("contract", 13, `output ${name}: ${message}`);
      return false;
    };
    const rank = outputs.get32(index, word.rank);
    if (rank > MAX_RANK) return refuse(`rank ${rank} is more than ${MAX_RANK}`);
    const dtype = outputs.get32(index, word.dtype);
    const datatype = datatypeFromOnnx(dtype);
    if (datatype === undefined) return refuse(`datatype number ${dtype} is unknown`);
    const shape: number[] = [];
    for (let axis = 0; axis < rank; axis++) shape.push(outputs.getSigned64(index, word.shape + axis * 2));
    const elements = elementCount(shape);
    if (!(elements >= 0) || shape.some((size) => size < 0)) return refuse(`shape [${shape}] is impossible`);
    const bytes = outputs.get64(index, word.nbytes);
    const size = datatypes[datatype].bytes;
    if (size !== null && elements * size !== bytes) {
      return refuse(`shape [${shape}] of ${datatype} takes ${elements * size} bytes, the plugin reported ${bytes}`);
    }
    const offset = this.#roomOffsets[index]!;
    const room = this.#roomBytes[index]!;
    if (!isOwned) {
      if (bytes > room) return refuse(`reported ${bytes} bytes in room for ${room}`);
      if (bytes > 0 && outputs.get64(index, word.data) !== base + offset)
        return refuse("memory without an owner is not the caller's");
    } else if (bytes > room) {
      task.fail("too-large", 8, `output ${name}: ${bytes} bytes, room for ${room}`);
      return false;
    } else if (bytes > 0) {
      copyMemory(BigInt(base + offset), outputs.getAddress(index, tensorOffsets.data), bytes);
    }
    task.writeOutput(index, offset, bytes, dtype, shape);
    return true;
  }
}

/** An array of signet_tensor. Numbers are below 2^53, and addresses too; what is more is no longer exact. */
class Descriptors {
  readonly block: Buffer;
  readonly #words: Uint32Array;
  readonly #names: Buffer[] = [];

  constructor(specs: readonly TensorSpec[]) {
    // Not from Buffer's pool: the plugin may keep the address, and words need their alignment.
    this.block = Buffer.from(new ArrayBuffer(Math.max(specs.length, 1) * TENSOR_BYTES));
    this.#words = new Uint32Array(this.block.buffer);
    for (const [index, spec] of specs.entries()) {
      const name = Buffer.from(`${spec.name}\0`);
      this.#names.push(name);
      this.set32(index, word.dtype, datatypes[spec.datatype].onnx);
      this.block.writeBigUInt64LE(addressOf(name), index * TENSOR_BYTES + tensorOffsets.name);
    }
  }

  /** Rank, shape, data, size and owner; the datatype and the name stay. */
  clear(index: number): void {
    const at = index * TENSOR_WORDS;
    this.#words.fill(0, at + word.rank, at + word.nbytes);
    this.set64(index, word.owner, 0);
  }

  set32(index: number, at: number, value: number): void {
    this.#words[index * TENSOR_WORDS + at] = value;
  }

  get32(index: number, at: number): number {
    return this.#words[index * TENSOR_WORDS + at]!;
  }

  set64(index: number, at: number, value: number): void {
    this.#words[index * TENSOR_WORDS + at] = value % TWO_TO_32;
    this.#words[index * TENSOR_WORDS + at + 1] = value / TWO_TO_32;
  }

  get64(index: number, at: number): number {
    return this.get32(index, at) + this.get32(index, at + 1) * TWO_TO_32;
  }

  getSigned64(index: number, at: number): number {
    return this.get32(index, at) + (this.get32(index, at + 1) | 0) * TWO_TO_32;
  }

  /** Exactly, also where a plugin wrote what is no address. @param offset in bytes */
  getAddress(index: number, offset: number): bigint {
    return this.block.readBigUInt64LE(index * TENSOR_BYTES + offset);
  }
}

/** The size of an output whose shape is fixed, or null where only the plugin knows it. */
function knownBytes(spec: TensorSpec): number | null {
  const size = datatypes[spec.datatype].bytes;
  if (size === null || spec.shape.some((dimension) => dimension < 0)) return null;
  return elementCount(spec.shape) * size;
}
