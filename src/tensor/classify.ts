import { SignetError } from "../errors.ts";
import { splitBatch } from "./batch.ts";
import { encodeBytesElements } from "./bytes-elements.ts";
import type { Datatype } from "./datatype.ts";
import { quoteName } from "./quote-name.ts";
import { elementCount, type Tensor } from "./tensor.ts";

type Numbers = { readonly length: number; readonly [index: number]: number | bigint };

const arrays: Partial<Record<Datatype, (data: ArrayBuffer) => Numbers>> = {
  UINT8: (data) => new Uint8Array(data),
  UINT16: (data) => new Uint16Array(data),
  UINT32: (data) => new Uint32Array(data),
  UINT64: (data) => new BigUint64Array(data),
  INT8: (data) => new Int8Array(data),
  INT16: (data) => new Int16Array(data),
  INT32: (data) => new Int32Array(data),
  INT64: (data) => new BigInt64Array(data),
  FP32: (data) => new Float32Array(data),
  FP64: (data) => new Float64Array(data),
};

/** Sorting more would make other calls wait. */
const MAX_CLASSIFIED = 2 ** 20;

/** Whether the classes of a tensor of that datatype can be told. */
export function isClassifiable(datatype: Datatype): boolean {
  return arrays[datatype] !== undefined;
}

/**
 * The protocol's classification extension: the `classes` largest elements of a tensor, largest first, as BYTES
 * `value:index` or, where there is a label, `value:index:label`. The whole tensor counts as one list of classes.
 * @throws REQUEST_MALFORMED for a datatype whose elements have no order here, or too many elements
 */
export function classify(tensor: Tensor, classes: number, labels: readonly string[]): Tensor {
  const { name, datatype, data } = tensor;
  const numbersOf = arrays[datatype];
  if (numbersOf === undefined) {
    const words = `expected a datatype of numbers to classify, found ${datatype}`;
    throw new SignetError("REQUEST_MALFORMED", `output ${quoteName(name)}: ${words}`);
  }
  const numbers = numbersOf(new Uint8Array(data).buffer); // aligned, which a view need not be
  verifyCount(name, numbers.length);
  const largest = largestOf(numbers, classes);
  const elements = largest.map((index) => {
    const value = numbers[index]!;
    // As many digits as Triton writes.
    const text = datatype.startsWith("FP") ? (value as number).toFixed(6) : `${value}`;
    const label = labels[index];
    return Buffer.from(label === undefined ? `${text}:${index}` : `${text}:${index}:${label}`);
  });
  return { name, datatype: "BYTES", shape: [elements.length], data: encodeBytesElements(elements) };
}

/** The same for each item of a batch: its classes are a row of the answer. */
export function classifyItems(tensor: Tensor, classes: number, labels: readonly string[]): Tensor {
  const { name, shape } = tensor;
  verifyCount(name, elementCount(shape));
  const rows = splitBatch(tensor, new Array(shape[0]!).fill(1)).map((item) => classify(item, classes, labels));
  const data = Buffer.concat(rows.map((row) => row.data));
  return { name, datatype: "BYTES", shape: [rows.length, rows[0]?.shape[0] ?? 0], data };
}

function verifyCount(name: string, count: number): void {
  if (count <= MAX_CLASSIFIED) return;
  const words = `expected at most ${MAX_CLASSIFIED} elements to classify, found ${count}`;
  throw new SignetError("REQUEST_MALFORMED", `output ${quoteName(name)}: ${words}`);
}

/** Indices of the largest, the earlier first among equals; NaN counts as smaller than everything. */
function largestOf(numbers: Numbers, count: number): number[] {
  const rank = (index: number) => (Number.isNaN(numbers[index]) ? Number.NEGATIVE_INFINITY : numbers[index]!);
  const before = (a: number, b: number) => (rank(a) > rank(b) ? -1 : rank(a) < rank(b) ? 1 : a - b);
  let kept: number[] = [];
  let least: number | undefined;
  // Sorted now and then instead of all at once: mostly few elements are ever among the largest.
  const sortKept = () => {
    kept = kept.sort(before).slice(0, count);
    least = kept[count - 1];
  };
  for (let index = 0; index < numbers.length; index++) {
    if (least !== undefined && before(index, least) > 0) continue;
    kept.push(index);
    if (kept.length >= 2 * count) sortKept();
  }
  sortKept();
  return kept;
}
