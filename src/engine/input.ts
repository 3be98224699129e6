import { SignetError } from "../errors.ts";
import { alignTensor, type InputPlace } from "../plugin/index.ts";
import type { Tensor } from "../tensor/index.ts";

/** Where a job's inputs lie in its slot, and from where on there is room for outputs. */
export interface WrittenInputs {
  readonly places: readonly InputPlace[];
  readonly end: number;
}

/** Copies the inputs of a job into its slot, one behind the other. @throws REQUEST_TOO_LARGE */
export function writeInputs(service: string, inputs: readonly Tensor[], slot: Uint8Array): WrittenInputs {
  let end = 0;
  const places = inputs.map(({ shape, data }) => {
    const offset = alignTensor(end);
    if (offset + data.byteLength > slot.byteLength) {
      const needed = inputs.reduce((sum, tensor) => sum + tensor.data.byteLength, 0);
      throw new SignetError("REQUEST_TOO_LARGE", `${service}: inputs of ${needed} bytes, room for ${slot.byteLength}`);
    }
    slot.set(data, offset);
    end = offset + data.byteLength;
    return { shape, offset, bytes: data.byteLength };
  });
  return { places, end: alignTensor(end) };
}
