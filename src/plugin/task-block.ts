import { MAX_RANK } from "../tensor/index.ts";

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

/** Why a run gave no outputs: the plugin's own status, no room, an answer that contradicts itself, or no run at all. */
export type RunFailure = "plugin" | "too-large" | "contract" | "skipped";

export type RunReply =
  | { readonly ok: true; readonly outputs: readonly OutputPlace[]; readonly runUs: number }
  | { readonly ok: false; readonly reason: RunFailure; readonly status: number; readonly message: string };

const failures: readonly RunFailure[] = ["plugin", "too-large", "contract", "skipped"];
const MESSAGE_BYTES = 2048;

// Every number is a float64, because all of them are far below 2^53. First the task's own, then a record for each
// input and each output.
const OUTPUTS_OFFSET = 0;
/** 0: there are outputs; else 1 + index in `failures`. */
const OUTCOME = 1;
const STATUS = 2;
const RUN_US = 3;
const MESSAGE_LENGTH = 4;
const CLAIM = 7;
const HEADER_NUMBERS = 8;

// Who has the task: nobody yet, a thread that runs it, or the gateway that took it back.
const OFFERED = 0;
const CLAIMED = 1;
const RECALLED = 2;
const OFFSET = 0;
const BYTES = 1;
const DTYPE = 2;
const RANK = 3;
const SHAPE = 4;
const RECORD_NUMBERS = SHAPE + MAX_RANK;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * What the gateway and a thread of the service host tell each other about the job in a slot: where its inputs lie, and
 * what became of it. It lies in memory that both have. The gateway reads each number once, and believes none.
 */
export class TaskBlock {
  readonly #numbers: Float64Array;
  readonly #claim: Int32Array;
  readonly #message: Uint8Array;
  readonly #inputs: number;
  readonly #outputs: number;

  /** Bytes that a block takes for so many tensors. */
  static bytes(inputs: number, outputs: number): number {
    return (HEADER_NUMBERS + (inputs + outputs) * RECORD_NUMBERS) * 8 + MESSAGE_BYTES;
  }

  constructor(memory: Uint8Array, inputs: number, outputs: number) {
    const numbers = HEADER_NUMBERS + (inputs + outputs) * RECORD_NUMBERS;
    this.#numbers = new Float64Array(memory.buffer, memory.byteOffset, numbers);
    this.#claim = new Int32Array(memory.buffer, memory.byteOffset + CLAIM * 8, 1);
    this.#message = new Uint8Array(memory.buffer, memory.byteOffset + numbers * 8, MESSAGE_BYTES);
    this.#inputs = inputs;
    this.#outputs = outputs;
  }

  /** The gateway's: where the inputs lie and from where on there is room for outputs. */
  write(inputs: readonly InputPlace[], outputsOffset: number): void {
    const numbers = this.#numbers;
    Atomics.store(this.#claim, 0, OFFERED);
    numbers[OUTPUTS_OFFSET] = outputsOffset;
    for (let index = 0; index < inputs.length; index++) {
      const { offset, bytes, shape } = inputs[index]!;
      this.#writeRecord(HEADER_NUMBERS + index * RECORD_NUMBERS, offset, bytes, 0, shape);
    }
  }

  /** The gateway's: takes the task back. False where a thread has it already. */
  recall(): boolean {
    return Atomics.compareExchange(this.#claim, 0, OFFERED, RECALLED) === OFFERED;
  }

  /** The thread's: it runs the task now. False where the gateway took it back. */
  claim(): boolean {
    return Atomics.compareExchange(this.#claim, 0, OFFERED, CLAIMED) === OFFERED;
  }

  get outputsOffset(): number {
    return this.#numbers[OUTPUTS_OFFSET]!;
  }

  inputOffset(index: number): number {
    return this.#numbers[HEADER_NUMBERS + index * RECORD_NUMBERS + OFFSET]!;
  }

  inputBytes(index: number): number {
    return this.#numbers[HEADER_NUMBERS + index * RECORD_NUMBERS + BYTES]!;
  }

  inputRank(index: number): number {
    return this.#numbers[HEADER_NUMBERS + index * RECORD_NUMBERS + RANK]!;
  }

  inputSize(index: number, axis: number): number {
    return this.#numbers[HEADER_NUMBERS + index * RECORD_NUMBERS + SHAPE + axis]!;
  }

  /** The thread's: what one output is. */
  writeOutput(index: number, offset: number, bytes: number, dtype: number, shape: readonly number[]): void {
    this.#writeRecord(HEADER_NUMBERS + (this.#inputs + index) * RECORD_NUMBERS, offset, bytes, dtype, shape);
  }

  /** The thread's: the outputs are there. */
  succeed(runUs: number): void {
    this.#numbers[OUTCOME] = 0;
    this.#numbers[RUN_US] = runUs;
  }

  /** The thread's: there are none. The message is cut where it does not fit. */
  fail(reason: RunFailure, status: number, message: string): void {
    this.#numbers[OUTCOME] = 1 + failures.indexOf(reason);
    this.#numbers[STATUS] = status;
    this.#numbers[MESSAGE_LENGTH] = encoder.encodeInto(message, this.#message).written;
  }

  /** The gateway's: what became of the job; null where the numbers say nothing that could be. */
  readReply(): RunReply | null {
    const numbers = this.#numbers;
    const outcome = numbers[OUTCOME]!;
    if (outcome === 0) {
      const outputs: OutputPlace[] = [];
      for (let index = 0; index < this.#outputs; index++) outputs.push(this.#readOutput(index));
      return { ok: true, outputs, runUs: numbers[RUN_US]! };
    }
    const reason = failures[outcome - 1];
    const length = numbers[MESSAGE_LENGTH]!;
    if (reason === undefined || !(length >= 0 && length <= MESSAGE_BYTES)) return null;
    const message = decoder.decode(this.#message.slice(0, length));
    return { ok: false, reason, status: numbers[STATUS]!, message };
  }

  #readOutput(index: number): OutputPlace {
    const numbers = this.#numbers;
    const at = HEADER_NUMBERS + (this.#inputs + index) * RECORD_NUMBERS;
    const rank = numbers[at + RANK]!;
    const shape: number[] = [];
    for (let axis = 0; axis < rank && axis < MAX_RANK; axis++) shape.push(numbers[at + SHAPE + axis]!);
    return { dtype: numbers[at + DTYPE]!, shape, offset: numbers[at + OFFSET]!, bytes: numbers[at + BYTES]! };
  }

  #writeRecord(at: number, offset: number, bytes: number, dtype: number, shape: readonly number[]): void {
    const numbers = this.#numbers;
    numbers[at + OFFSET] = offset;
    numbers[at + BYTES] = bytes;
    numbers[at + DTYPE] = dtype;
    numbers[at + RANK] = shape.length;
    for (let axis = 0; axis < shape.length; axis++) numbers[at + SHAPE + axis] = shape[axis]!;
  }
}
