import { SignetError } from "../errors.ts";
import { alignTensor, type InputPlace } from "../plugin/index.ts";
import type { Tensor } from "../tensor/index.ts";

/** Where a job's inputs lie in its slot, and from where on there is room for outputs. */
export interface WrittenInputs {
  readonly places: readonly InputPlace[];
  readonly end: number;
}

/** @throws REQUEST_TOO_LARGE where a job's inputs do not fit into its slot */
export function verifyRoom(service: string, inputs: readonly Tensor[], { byteLength }: Uint8Array): void {
  if (inputBytes(inputs) <= byteLength) return;
  const needed = inputs.reduce((sum, { data }) => sum + data.byteLength, 0);
  throw new SignetError("REQUEST_TOO_LARGE", `${service}: inputs of ${needed} bytes, room for ${byteLength}`);
}

/** Bytes that a job's inputs take in its slot. */
export function inputBytes(inputs: readonly Tensor[]): number {
  let end = 0;
  for (const { data } of inputs) end = alignTensor(end + data.byteLength);
  return end;
}

/**
 * Copies the inputs of a job into its slot, one behind the other; those of several jobs that run as one side by side, so
 * that each input has the items of all. They must fit.
 */
export function writeInputs(jobs: readonly (readonly Tensor[])[], slot: Uint8Array): WrittenInputs {
  let end = 0;
  const places = jobs[0]!.map(({ shape }, index) => {
    const offset = alignTensor(end);
    let items = 0;
    end = offset;
    for (const inputs of jobs) {
      const { data, shape } = inputs[index]!;
      slot.set(data, end);
      end += data.byteLength;
      items += shape[0]!;
    }
    return { shape: jobs.length === 1 ? shape : [items, ...shape.slice(1)], offset, bytes: end - offset };
  });
  return { places, end: alignTensor(end) };
}
