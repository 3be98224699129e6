import { SignetError } from "../errors.ts";
import { decodeBytesElements } from "./bytes-elements.ts";
import { datatypes } from "./datatype.ts";
import { quoteName } from "./quote-name.ts";
import { elementCount, type Tensor, type TensorSpec } from "./tensor.ts";

/**
 * What it takes to run several requests as one: the first dimension of every tensor counts items that have nothing to
 * do with each other, so that requests can be laid side by side along it, and results be cut apart.
 */

/** The tensor whose first dimension is not any number of items; undefined where all can be batched. */
export function findUnbatchable(tensors: readonly TensorSpec[]): TensorSpec | undefined {
  return tensors.find(({ shape }) => shape[0] !== -1);
}

/**
 * How many items a request has, the same in each of its inputs.
 * @param inputs validated against tensors that can be batched
 * @throws REQUEST_MALFORMED
 */
export function verifyBatchSize(inputs: readonly Omit<Tensor, "data">[], maxBatchSize: number): number {
  const size = inputs[0]!.shape[0]!;
  for (const { name, shape } of inputs) {
    const where = `input ${quoteName(name)}: first dimension`;
    if (shape[0] !== size) {
      const message = `${where}: expected ${size}, as many items as the other inputs have, found ${shape[0]}`;
      throw new SignetError("REQUEST_MALFORMED", message);
    }
    if (size < 1 || size > maxBatchSize) {
      throw new SignetError("REQUEST_MALFORMED", `${where}: expected a batch of 1 to ${maxBatchSize}, found ${size}`);
    }
  }
  return size;
}

/** Whether two requests can run as one: each tensor alike but for the number of items. Both are validated. */
export function canShareBatch(inputs: readonly Tensor[], others: readonly Tensor[]): boolean {
  for (let index = 0; index < inputs.length; index++) {
    const { shape } = inputs[index]!;
    const other = others[index]!.shape;
    for (let axis = 1; axis < shape.length; axis++) if (shape[axis] !== other[axis]) return false;
  }
  return true;
}

/**
 * Cuts a tensor apart along its first dimension. The parts are views of its bytes.
 * @param sizes how many items each part has; together as many as the tensor
 */
export function splitBatch(tensor: Tensor, sizes: readonly number[]): Tensor[] {
  const { name, datatype, shape, data } = tensor;
  const ends = datatype === "BYTES" ? endsOfItems(tensor) : null;
  const itemShape = shape.slice(1);
  const itemElements = elementCount(itemShape);
  const itemBytes = (datatypes[datatype].bytes ?? 0) * itemElements;
  const offsetOf = (at: number) => (ends === null ? at * itemBytes : ends[at * itemElements]!);
  let item = 0;
  return sizes.map((size) => {
    const part = data.subarray(offsetOf(item), offsetOf(item + size));
    item += size;
    return { name, datatype, shape: [size, ...itemShape], data: part };
  });
}

/** Where in the bytes of a BYTES tensor each number of elements ends, from none of them to all. */
function endsOfItems({ data }: Tensor): number[] {
  const ends = [0];
  for (const element of decodeBytesElements(data)) ends.push(ends.at(-1)! + 4 + element.byteLength);
  return ends;
}
