import koffi from "koffi";
import { datatypeFromOnnx, datatypes, elementCount, type TensorSpec } from "../tensor/index.ts";
import { releaseProto, runProto, SIGNET_OK, signetPlugin, TENSOR_BYTES, tensorOffsets } from "./abi.ts";
import { copyMemory } from "./libc.ts";
import { addressOf, errorText } from "./library.ts";
import { alignTensor, Slots } from "./slots.ts";

/** Where one input lies in its slot. */
export interface InputPlace {
  readonly shape: readonly number[];
  readonly offset: number;
  readonly bytes: number;
}

/** Where the plugin's output lies in the slot, and what the plugin says it is. */
export interface OutputPlace {
  /** ONNX number, as the plugin reported it. */
  readonly dtype: number;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly bytes: number;
}

export type RunReply =
  | { readonly ok: true; readonly outputs: readonly OutputPlace[]; readonly runUs: number }
  | {
      readonly ok: false;
      /** A plugin's status, or why the host refused its answer. */
      readonly reason: "plugin" | "too-large" | "contract";
      readonly status: number;
      readonly message: string;
    };

export interface RunnerOptions {
  /** Address of the plugin's function table and of the instance, both valid in every thread. */
  readonly plugin: bigint;
  readonly instance: bigint;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly slots: { readonly fd: number; readonly count: number; readonly bytes: number };
}

const ERROR_BYTES = 2048;

/**
 * Calls a plugin's run() from one worker thread. Descriptors are packed into two blocks that are reused for
 * every call; names and blocks stay referenced here for as long as the plugin may read them.
 */
export class Runner {
  readonly #options: RunnerOptions;
  readonly #slots: Slots;
  readonly #run: (...args: unknown[]) => number;
  readonly #release: (instance: bigint, owner: bigint) => void;
  readonly #inputs: Buffer;
  readonly #outputs: Buffer;
  readonly #names: Buffer[] = [];
  readonly #error = Buffer.alloc(ERROR_BYTES);

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#slots = Slots.open(options.slots.fd, options.slots.count, options.slots.bytes);
    const table = koffi.decode(options.plugin, signetPlugin) as { run: bigint; release: bigint };
    this.#run = koffi.decode(table.run, runProto);
    this.#release = koffi.decode(table.release, releaseProto);
    this.#inputs = this.#descriptors(options.inputs);
    this.#outputs = this.#descriptors(options.outputs);
  }

  #descriptors(specs: readonly TensorSpec[]): Buffer {
    const block = Buffer.alloc(Math.max(specs.length, 1) * TENSOR_BYTES);
    for (const [index, spec] of specs.entries()) {
      const name = Buffer.from(`${spec.name}\0`);
      this.#names.push(name);
      block.writeUInt32LE(datatypes[spec.datatype].onnx, index * TENSOR_BYTES + tensorOffsets.dtype);
      block.writeBigUInt64LE(addressOf(name), index * TENSOR_BYTES + tensorOffsets.name);
    }
    return block;
  }

  /** Runs one job in place in its slot. Never throws for what a plugin does; a crash ends the process. */
  run(slot: number, inputs: readonly InputPlace[], outputsOffset: number): RunReply {
    const base = this.#slots.dataAddress(slot);
    this.#writeInputs(base, inputs);
    const rooms = this.#offerRoom(base, outputsOffset);
    this.#error[0] = 0;
    const started = process.hrtime.bigint();
    const status = this.#run(
      this.#options.instance,
      this.#inputs,
      this.#options.inputs.length,
      this.#outputs,
      this.#options.outputs.length,
      this.#slots.controlAddress(slot),
      this.#error,
      this.#error.length,
    );
    const runUs = Number((process.hrtime.bigint() - started) / 1000n);
    if (status !== SIGNET_OK) return { ok: false, reason: "plugin", status, message: errorText(this.#error) };
    return this.#collect(base, rooms, runUs);
  }

  #writeInputs(base: bigint, inputs: readonly InputPlace[]): void {
    for (const [index, input] of inputs.entries()) {
      const at = index * TENSOR_BYTES;
      this.#inputs.writeUInt32LE(input.shape.length, at + tensorOffsets.rank);
      for (const [axis, size] of input.shape.entries()) {
        this.#inputs.writeBigInt64LE(BigInt(size), at + tensorOffsets.shape + axis * 8);
      }
      this.#inputs.writeBigUInt64LE(base + BigInt(input.offset), at + tensorOffsets.data);
      this.#inputs.writeBigUInt64LE(BigInt(input.bytes), at + tensorOffsets.nbytes);
    }
  }

  /** Outputs of known size get exactly that; the others share what is left of the slot. */
  #offerRoom(base: bigint, outputsOffset: number): Room[] {
    const { outputs, slots } = this.#options;
    const known = outputs.map((spec) => knownBytes(spec));
    const fixed = known.reduce((sum: number, bytes) => sum + (bytes === null ? 0 : alignTensor(bytes)), 0);
    const open = known.filter((bytes) => bytes === null).length;
    const left = Math.max(0, slots.bytes - outputsOffset - fixed);
    const share = open === 0 ? 0 : Math.floor(left / open / 64) * 64;
    let offset = outputsOffset;
    return outputs.map((_, index) => {
      const wanted = known[index] ?? share;
      const bytes = Math.max(0, Math.min(wanted, slots.bytes - offset));
      const room = { offset, bytes };
      offset = Math.min(slots.bytes, offset + alignTensor(bytes));
      const at = index * TENSOR_BYTES;
      this.#outputs.writeUInt32LE(0, at + tensorOffsets.rank);
      this.#outputs.fill(0, at + tensorOffsets.shape, at + tensorOffsets.data);
      this.#outputs.writeBigUInt64LE(bytes === 0 ? 0n : base + BigInt(room.offset), at + tensorOffsets.data);
      this.#outputs.writeBigUInt64LE(BigInt(bytes), at + tensorOffsets.nbytes);
      this.#outputs.writeBigUInt64LE(0n, at + tensorOffsets.owner);
      return room;
    });
  }

  #collect(base: bigint, rooms: readonly Room[], runUs: number): RunReply {
    const outputs: OutputPlace[] = [];
    let failure: RunReply | undefined;
    for (const [index, room] of rooms.entries()) {
      const at = index * TENSOR_BYTES;
      const name = this.#options.outputs[index]!.name;
      const bytes = Number(this.#outputs.readBigUInt64LE(at + tensorOffsets.nbytes));
      const data = this.#outputs.readBigUInt64LE(at + tensorOffsets.data);
      const owner = this.#outputs.readBigUInt64LE(at + tensorOffsets.owner);
      const rank = this.#outputs.readUInt32LE(at + tensorOffsets.rank);
      const dtype = this.#outputs.readUInt32LE(at + tensorOffsets.dtype);
      // The next call starts from the licensed datatype again, whatever the plugin wrote here.
      this.#outputs.writeUInt32LE(datatypes[this.#options.outputs[index]!.datatype].onnx, at + tensorOffsets.dtype);

      const place = this.#checkPlace(
        name,
        { bytes, data, owner, rank, dtype, shape: this.#shape(at, rank) },
        room,
        base,
      );
      if ("ok" in place) failure ??= place;
      else {
        if (owner !== 0n && place.bytes > 0) copyMemory(base + BigInt(room.offset), data, place.bytes);
        outputs.push(place);
      }
      if (owner !== 0n) this.#release(this.#options.instance, owner);
    }
    return failure ?? { ok: true, outputs, runUs };
  }

  #shape(at: number, rank: number): number[] {
    const shape: number[] = [];
    for (let axis = 0; axis < Math.min(rank, 8); axis++) {
      shape.push(Number(this.#outputs.readBigInt64LE(at + tensorOffsets.shape + axis * 8)));
    }
    return shape;
  }

  /** A descriptor that contradicts itself is refused before any of its bytes are touched. */
  #checkPlace(name: string, found: FoundOutput, room: Room, base: bigint): OutputPlace | (RunReply & { ok: false }) {
    const contract = (message: string) =>
      ({ ok: false, reason: "contract", status: 13, message: `output ${name}: ${message}` }) as const;
    if (found.rank > 8) return contract(`rank ${found.rank} is more than 8`);
    const datatype = datatypeFromOnnx(found.dtype);
    if (datatype === undefined) return contract(`datatype number ${found.dtype} is unknown`);
    const size = datatypes[datatype].bytes;
    const elements = elementCount(found.shape);
    if (!(elements >= 0) || found.shape.some((dimension) => dimension < 0)) {
      return contract(`shape [${found.shape}] is impossible`);
    }
    if (size !== null && elements * size !== found.bytes) {
      return contract(
        `shape [${found.shape}] of ${datatype} takes ${elements * size} bytes, the plugin reported ${found.bytes}`,
      );
    }
    if (found.owner === 0n) {
      if (found.bytes > room.bytes) return contract(`reported ${found.bytes} bytes in room for ${room.bytes}`);
      if (found.bytes > 0 && found.data !== base + BigInt(room.offset))
        return contract("memory without an owner is not the caller's");
    } else if (found.bytes > room.bytes) {
      return {
        ok: false,
        reason: "too-large",
        status: 8,
        message: `output ${name}: ${found.bytes} bytes, room for ${room.bytes}`,
      };
    }
    return { dtype: found.dtype, shape: found.shape, offset: room.offset, bytes: found.bytes };
  }
}

interface Room {
  readonly offset: number;
  readonly bytes: number;
}

interface FoundOutput {
  readonly bytes: number;
  readonly data: bigint;
  readonly owner: bigint;
  readonly rank: number;
  readonly dtype: number;
  readonly shape: readonly number[];
}

/** The size of an output whose shape is fixed, or null where only the plugin knows it. */
function knownBytes(spec: TensorSpec): number | null {
  const size = datatypes[spec.datatype].bytes;
  if (size === null || spec.shape.some((dimension) => dimension < 0)) return null;
  return elementCount(spec.shape) * size;
}
