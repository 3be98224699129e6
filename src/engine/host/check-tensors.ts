import type { ProbeInput } from "../../plugin/index.ts";
import { datatypes, elementCount, type TensorSpec } from "../../tensor/index.ts";

/** What open dimensions are tried with, in this order, until the plugin takes one. */
export const triedSizes = [1, 2, 8, 16, 32, 64, 128, 320] as const;

const MAX_INPUT_BYTES = 64 << 20;
const OPEN_ROOM_BYTES = 1 << 20;

/**
 * Zeros for every input. Of several dimensions the first, if open, is a batch of one, so that a model is not made to
 * work for nothing. Null if a size is more than is worth trying.
 */
export function zeroInputs(specs: readonly TensorSpec[], size: number): ProbeInput[] | null {
  const inputs: ProbeInput[] = [];
  for (const { name, datatype, shape: described } of specs) {
    const batch = size === 0 ? 0 : 1;
    const shape = described.map((dimension, axis) => {
      if (dimension >= 0) return dimension;
      return axis === 0 && described.length > 1 ? batch : size;
    });
    // A BYTES element of no bytes is its length alone, four zeros.
    const bytes = elementCount(shape) * (datatypes[datatype].bytes ?? 4);
    if (!(bytes <= MAX_INPUT_BYTES)) return null;
    inputs.push({ name, dtype: datatypes[datatype].onnx, shape, data: Buffer.alloc(bytes) });
  }
  return inputs;
}

/** Room for every output: exactly what a closed shape takes, otherwise enough for small results. */
export function roomsFor(specs: readonly TensorSpec[]): { name: string; room: number }[] {
  return specs.map(({ name, datatype, shape }) => {
    const size = datatypes[datatype].bytes;
    const isClosed = size !== null && shape.every((dimension) => dimension >= 0);
    return { name, room: isClosed ? Math.min(elementCount(shape) * size, MAX_INPUT_BYTES) : OPEN_ROOM_BYTES };
  });
}

export function hasOpenInput(specs: readonly TensorSpec[]): boolean {
  return specs.some((spec) => spec.shape.includes(-1));
}

/** `x FP32[1,3,48,32]` for each tensor. */
export function formatTensors(
  tensors: readonly { readonly name: string; readonly shape: readonly number[] }[],
): string {
  return tensors.map(({ name, shape }) => `${name} [${shape}]`).join(", ") || "nothing";
}
