import { SignetError } from "../errors.ts";
import type { ServiceConf } from "../license/index.ts";
import {
  classify,
  classifyItems,
  datatypes,
  elementCount,
  isClassifiable,
  quoteName,
  type RegionPlace,
  type Tensor,
  type TensorSpec,
  validateInputs,
  validateOutputs,
  verifyBatchSize,
} from "../tensor/index.ts";
import type { RegionWindow } from "./shared-memory.ts";

/** An input with its data, or without and with where in shared memory that lies. */
export type InferInput = Tensor & { readonly place: RegionPlace | null };

export interface RequestedOutput {
  readonly name: string;
  /** How many of its largest elements are wanted instead of the tensor; 0 for the tensor. */
  readonly classes: number;
  /** Where in shared memory its data is to go; null for the answer. */
  readonly place: RegionPlace | null;
}

/** An output as it is answered, in the same way. */
export type AnsweredOutput = Tensor & { readonly place: RegionPlace | null };

/** What is asked of a service here. */
interface InferService {
  readonly conf: ServiceConf;
  readonly runner: { readonly roomBytes: number };
}

/**
 * The tensors of one call: inputs fetched and validated, outputs delivered as they were asked for. Holds on to the
 * shared memory of the call until it is released.
 */
export class InferTensors {
  /** In the service's order. */
  readonly inputs: readonly Tensor[];
  readonly #conf: ServiceConf;
  readonly #outputs: readonly RequestedOutput[];
  readonly #inputWindows: RegionWindow[] = [];
  /** Of outputs in shared memory; mostly there are none. */
  #windows: Map<RequestedOutput, RegionWindow> | undefined;

  /** @throws REQUEST_MALFORMED, REQUEST_TOO_LARGE, and what `open` throws */
  constructor(
    { conf, runner }: InferService,
    { inputs, outputs }: { readonly inputs: readonly InferInput[]; readonly outputs: readonly RequestedOutput[] },
    open: (place: RegionPlace) => RegionWindow,
  ) {
    this.#conf = conf;
    verifyPlaces(inputs, runner.roomBytes);
    try {
      this.inputs = validateInputs(
        inputs.map((input) => this.#fetchInput(input, open)),
        conf.inputs,
      );
      if (conf.maxBatchSize !== undefined) verifyBatchSize(this.inputs, conf.maxBatchSize);
      const specs = validateOutputs(
        outputs.map(({ name }) => name),
        conf.outputs,
      );
      this.#outputs = outputs.length > 0 ? outputs : specs.map(({ name }) => ({ name, classes: 0, place: null }));
      this.#outputs.forEach((output, index) => {
        verifyOutput(output, specs[index]!);
        if (output.place === null) return;
        this.#windows ??= new Map();
        this.#windows.set(output, open(output.place));
      });
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** @throws SHARED_MEMORY_INVALID where an output does not fit its place */
  answer(outputs: readonly Tensor[]): AnsweredOutput[] {
    return this.#outputs.map((requested) => {
      const output = outputs.find(({ name }) => name === requested.name)!;
      const { place, classes } = requested;
      if (classes > 0) {
        const inOrder = this.#conf.maxBatchSize === undefined ? classify : classifyItems;
        return { ...inOrder(output, classes, this.#labelsOf(output.name)), place: null };
      }
      const { name, datatype, shape, data } = output;
      if (place === null) return { name, datatype, shape, data, place };
      this.#windows!.get(requested)!.write(data);
      return { name, datatype, shape, data: nothing, place: { ...place, byteSize: data.byteLength } };
    });
  }

  /** Lets go of shared memory, and of the inputs that came out of it: no job may read them after this. Twice is once. */
  release(): void {
    for (const window of this.#inputWindows) window.release();
    if (this.#windows !== undefined) for (const window of this.#windows.values()) window.release();
  }

  #fetchInput(input: InferInput, open: (place: RegionPlace) => RegionWindow): Tensor {
    const { name, datatype, shape, place } = input;
    if (place === null) return input;
    const window = open(place);
    this.#inputWindows.push(window);
    return { name, datatype, shape, data: window.read() };
  }

  /** The vendor's parameter `labels.OUTPUT`, or `labels` for every output: one label a line. */
  #labelsOf(output: string): string[] {
    const { parameters } = this.#conf;
    const text = [`labels.${output}`, "labels"]
      .map((key) => ownText(parameters, key))
      .find((each) => each !== undefined);
    return text === undefined ? [] : text.replace(/\n$/, "").split("\n");
  }
}

const nothing = new Uint8Array(0);

/**
 * A place takes a few bytes of a message whatever its size, also in an object that is larger than all memory, because
 * nothing is in most of it. So that is no more than a job has room for, before any of it is read.
 */
function verifyPlaces(inputs: readonly InferInput[], roomBytes: number): void {
  const bytes = inputs.reduce((sum, { place }) => sum + (place?.byteSize ?? 0), 0);
  if (bytes <= roomBytes) return;
  throw new SignetError("REQUEST_TOO_LARGE", `inputs of ${bytes} bytes in shared memory, room for ${roomBytes}`);
}

/** What can be known to fail is refused before the run is charged. */
function verifyOutput({ classes, place }: RequestedOutput, { name, datatype, shape }: TensorSpec): void {
  const malformed = (words: string) => new SignetError("REQUEST_MALFORMED", `output ${quoteName(name)}: ${words}`);
  if (classes > 0 && place !== null) throw malformed("expected classes or shared memory, found both");
  if (classes > 0 && !isClassifiable(datatype)) {
    throw malformed(`expected a datatype of numbers to classify, found ${datatype}`);
  }
  const size = datatypes[datatype].bytes;
  if (place === null || size === null || shape.includes(-1)) return;
  const bytes = elementCount(shape) * size;
  if (bytes > place.byteSize) throw malformed(`expected room for ${bytes} bytes, found ${place.byteSize}`);
}

function ownText(parameters: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(parameters, key) ? parameters[key] : undefined;
}
