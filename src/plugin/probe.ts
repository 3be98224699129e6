import koffi from "koffi";
import {
  CONTROL_BYTES,
  CREATE_ARGS_BYTES,
  createProto,
  DEVICE_CPU,
  describeProto,
  destroyProto,
  FILE_BYTES,
  releaseProto,
  runProto,
  SIGNET_OK,
  signetPlugin,
  TENSOR_BYTES,
  tensorOffsets,
  warmupProto,
} from "./abi.ts";
import { viewMemory } from "./libc.ts";
import { addressOf } from "./library.ts";

/**
 * Calls a plugin's functions as they are, with buffers that show whether it kept to what it was given, and judges
 * nothing. For `signet plugin check`, in a process of its own; serving goes through Plugin and Runner.
 */

/** What follows every buffer that is handed out. A plugin that writes further usually begins right here. */
const GUARD_BYTES = 4096;
const GUARD = 0xa5;
/** A plugin that lends more than this is not believed, because reading it could end the process. */
const MAX_LENT_BYTES = 1 << 30;

/** What a call left in the error buffer. */
export interface ProbeText {
  /** Up to the first NUL, or all of it. */
  readonly text: string;
  readonly isTerminated: boolean;
  readonly isUtf8: boolean;
  /** True if it wrote past the buffer's end. */
  readonly isOverrun: boolean;
}

export interface ProbeStatus {
  readonly status: number;
  readonly error: ProbeText;
}

/** A model file in memory that stays where it is until the process ends. */
export interface ProbeModel {
  readonly name: string;
  /** 0n for an empty file. */
  readonly address: bigint;
  readonly bytes: number;
}

export interface ProbeInput {
  readonly name: string;
  readonly dtype: number;
  readonly shape: readonly number[];
  readonly data: Buffer;
}

export interface ProbeOutput {
  readonly dtype: number;
  readonly rank: number;
  readonly shape: readonly number[];
  readonly bytes: number;
  /** Whose memory the result is in; "elsewhere" is neither the caller's buffer nor accompanied by an owner. */
  readonly place: "caller" | "owner" | "elsewhere";
  /** A copy of the result; null where the descriptor does not say where it is. */
  readonly data: Buffer | null;
  readonly isOverrun: boolean;
}

export interface ProbeRun extends ProbeStatus {
  readonly runMs: number;
  /** Some input or its descriptor was written to. */
  readonly isInputChanged: boolean;
  readonly outputs: readonly ProbeOutput[];
}

interface FunctionTable {
  readonly describe: bigint;
  readonly create: bigint;
  readonly run: bigint;
  readonly release: bigint;
  readonly destroy: bigint;
  readonly warmup: bigint | null;
}

/** A block of `capacity` bytes with a guard behind it, all filled with the same odd byte. */
class GuardedBuffer {
  readonly all: Buffer;
  readonly capacity: number;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.all = Buffer.alloc(capacity + GUARD_BYTES, GUARD);
  }

  get content(): Buffer {
    return this.all.subarray(0, this.capacity);
  }

  get isOverrun(): boolean {
    return this.all.subarray(this.capacity).some((byte) => byte !== GUARD);
  }

  text(): ProbeText {
    const end = this.content.indexOf(0);
    const bytes = end < 0 ? this.content : this.content.subarray(0, end);
    const text = bytes.toString("utf8");
    return {
      text: text.replace(/[\u0000-\u001f\u007f]+/g, " ").trim(),
      isTerminated: end >= 0,
      isUtf8: Buffer.from(text).equals(bytes),
      isOverrun: this.isOverrun,
    };
  }
}

export class PluginProbe {
  readonly #describe: (...args: unknown[]) => number;
  readonly #create: (...args: unknown[]) => number;
  readonly #run: (...args: unknown[]) => number;
  readonly #release: (instance: bigint, owner: bigint) => void;
  readonly #destroy: (instance: bigint) => void;
  readonly #warmup: ((...args: unknown[]) => number) | null;

  /** @param address of the function table of a plugin that `loadPlugin` accepted */
  constructor(address: bigint) {
    const table = koffi.decode(address, signetPlugin) as FunctionTable;
    this.#describe = koffi.decode(table.describe, describeProto);
    this.#create = koffi.decode(table.create, createProto);
    this.#run = koffi.decode(table.run, runProto);
    this.#release = koffi.decode(table.release, releaseProto);
    this.#destroy = koffi.decode(table.destroy, destroyProto);
    this.#warmup = table.warmup ? koffi.decode(table.warmup, warmupProto) : null;
  }

  get hasWarmup(): boolean {
    return this.#warmup !== null;
  }

  /** Asks for a description with room for `capacity` bytes; 0 passes NULL. `length` is what the plugin reported. */
  describe(
    instance: bigint | null,
    capacity: number,
  ): ProbeStatus & { json: Buffer; length: number; isOverrun: boolean } {
    const json = new GuardedBuffer(capacity);
    const error = new GuardedBuffer(512);
    const length = new BigUint64Array(1);
    const status = this.#describe(
      instance,
      capacity === 0 ? null : json.all,
      capacity,
      length,
      error.all,
      error.capacity,
    );
    const reported = Number(length[0]);
    return {
      status,
      error: error.text(),
      json: json.content.subarray(0, Math.min(reported, capacity)),
      length: reported,
      isOverrun: json.isOverrun,
    };
  }

  /** Creates an instance from text that need not be JSON. `instance` is null where the plugin left NULL. */
  create(
    configText: string,
    models: readonly ProbeModel[],
    errorCapacity: number,
  ): ProbeStatus & { instance: bigint | null } {
    const config = Buffer.from(`${configText}\0`);
    const names = models.map((model) => Buffer.from(`${model.name}\0`));
    const table = Buffer.alloc(Math.max(models.length, 1) * FILE_BYTES);
    for (const [index, model] of models.entries()) {
      table.writeBigUInt64LE(addressOf(names[index]!), index * FILE_BYTES);
      table.writeBigUInt64LE(model.address, index * FILE_BYTES + 8);
      table.writeBigUInt64LE(BigInt(model.bytes), index * FILE_BYTES + 16);
    }
    const args = Buffer.alloc(CREATE_ARGS_BYTES);
    args.writeUInt32LE(CREATE_ARGS_BYTES, 0);
    args.writeUInt32LE(DEVICE_CPU, 4);
    args.writeUInt32LE(models.length, 12);
    args.writeBigUInt64LE(addressOf(config), 16);
    args.writeBigUInt64LE(addressOf(table), 24);
    const error = new GuardedBuffer(errorCapacity);
    const instance = new BigUint64Array(1);
    const status = this.#create(args, instance, error.all, error.capacity);
    // "args and config_json end with the call": overwritten, so that a plugin that kept a pointer shows it soon.
    for (const block of [config, table, args, ...names]) block.fill(GUARD);
    return { status, error: error.text(), instance: instance[0] ? instance[0] : null };
  }

  destroy(instance: bigint): void {
    this.#destroy(instance);
  }

  /** Only if `hasWarmup`. */
  warmup(instance: bigint): ProbeStatus {
    const error = new GuardedBuffer(512);
    const status = this.#warmup!(instance, Buffer.alloc(CONTROL_BYTES), error.all, error.capacity);
    return { status, error: error.text() };
  }

  /** Runs one job, copies what it lends and hands it back. @param rooms bytes offered for each output; 0 passes NULL */
  run(
    instance: bigint,
    inputs: readonly ProbeInput[],
    outputs: readonly { readonly name: string; readonly room: number }[],
    control: Buffer,
    errorCapacity = 512,
  ): ProbeRun {
    const names: Buffer[] = [];
    const inputBlock = Buffer.alloc(Math.max(inputs.length, 1) * TENSOR_BYTES);
    for (const [index, input] of inputs.entries()) {
      writeDescriptor(inputBlock, index, input.name, input.dtype, input.shape, input.data, input.data.length, names);
    }
    const rooms = outputs.map(({ room }) => new GuardedBuffer(room));
    const outputBlock = Buffer.alloc(Math.max(outputs.length, 1) * TENSOR_BYTES);
    for (const [index, { name, room }] of outputs.entries()) {
      writeDescriptor(outputBlock, index, name, 0, [], rooms[index]!.all, room, names);
    }
    // Compared after the call, which also keeps what only the descriptors point to from being collected before it.
    const lent = [inputBlock, ...names, ...inputs.map((input) => input.data)];
    const before = lent.map((block) => Buffer.from(block));
    const error = new GuardedBuffer(errorCapacity);

    const started = performance.now();
    const status = this.#run(
      instance,
      inputBlock,
      inputs.length,
      outputBlock,
      outputs.length,
      control,
      error.all,
      error.capacity,
    );
    const runMs = performance.now() - started;
    return {
      status,
      error: error.text(),
      runMs,
      isInputChanged: lent.some((now, at) => !now.equals(before[at]!)),
      outputs: rooms.map((room, index) => this.#collect(instance, outputBlock, index, room, status === SIGNET_OK)),
    };
  }

  /** What a failed run left in an output is looked at, never followed. */
  #collect(instance: bigint, block: Buffer, index: number, room: GuardedBuffer, isAnswer: boolean): ProbeOutput {
    const at = index * TENSOR_BYTES;
    const bytes = Number(block.readBigUInt64LE(at + tensorOffsets.nbytes));
    const data = block.readBigUInt64LE(at + tensorOffsets.data);
    const owner = block.readBigUInt64LE(at + tensorOffsets.owner);
    const rank = block.readUInt32LE(at + tensorOffsets.rank);
    const shape = Array.from({ length: Math.min(rank, 8) }, (_, axis) =>
      Number(block.readBigInt64LE(at + tensorOffsets.shape + axis * 8)),
    );
    const isCaller = owner === 0n && bytes <= room.capacity && (bytes === 0 || data === addressOf(room.all));
    const isLent = isAnswer && owner !== 0n && bytes <= MAX_LENT_BYTES && (bytes === 0 || data !== 0n);
    let copy: Buffer | null = null;
    if (isCaller) copy = Buffer.from(room.content.subarray(0, bytes));
    else if (isLent) copy = bytes === 0 ? Buffer.alloc(0) : Buffer.from(viewMemory(data, bytes).slice());
    if (isAnswer && owner !== 0n) this.#release(instance, owner);
    return {
      dtype: block.readUInt32LE(at + tensorOffsets.dtype),
      rank,
      shape,
      bytes,
      place: owner !== 0n ? "owner" : isCaller ? "caller" : "elsewhere",
      data: copy,
      isOverrun: room.isOverrun,
    };
  }
}

function writeDescriptor(
  block: Buffer,
  index: number,
  name: string,
  dtype: number,
  shape: readonly number[],
  data: Buffer,
  bytes: number,
  names: Buffer[],
): void {
  const at = index * TENSOR_BYTES;
  const text = Buffer.from(`${name}\0`);
  names.push(text);
  block.writeUInt32LE(dtype, at + tensorOffsets.dtype);
  block.writeUInt32LE(shape.length, at + tensorOffsets.rank);
  for (const [axis, size] of shape.entries()) block.writeBigInt64LE(BigInt(size), at + tensorOffsets.shape + axis * 8);
  block.writeBigUInt64LE(bytes === 0 ? 0n : addressOf(data), at + tensorOffsets.data);
  block.writeBigUInt64LE(BigInt(bytes), at + tensorOffsets.nbytes);
  block.writeBigUInt64LE(addressOf(text), at + tensorOffsets.name);
}
