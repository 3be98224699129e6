import type { InferInput, InferRequest } from "./case.ts";

export const datatypes = [
  ...["BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"],
  ...["FP16", "FP32", "FP64", "BF16", "BYTES"],
];

/** BYTES elements as they are raw. */
export function lengthPrefixed(...texts: string[]): Buffer {
  return Buffer.concat(
    texts.map((text) => {
      const element = Buffer.alloc(4 + Buffer.byteLength(text));
      element.writeUInt32LE(element.length - 4);
      element.write(text, 4);
      return element;
    }),
  );
}

export function bytesOf(elements: ArrayBufferView): Buffer {
  return Buffer.from(elements.buffer, elements.byteOffset, elements.byteLength);
}

export function floats(...values: number[]): Buffer {
  return bytesOf(new Float32Array(values));
}

/** The one input of a service that answers with it. */
export function input(
  datatype: string,
  shape: readonly (number | string)[],
  more: Partial<InferInput> = {},
): InferInput {
  return { name: "input", datatype, shape, ...more };
}

/** A request of FP32 `matrix`, whose shape is [-1, 3]. */
export const good: InferRequest = {
  model_name: "matrix",
  inputs: [input("FP32", [1, 3])],
  raw_input_contents: [floats(1, 2, 3)],
};

/** A request of the plugin that misbehaves as it is asked to. */
export function faulty(mode: string, amount = 1): InferRequest {
  return {
    model_name: "faulty",
    inputs: [input("BYTES", [1], { name: "mode" }), input("INT64", [1], { name: "amount" })],
    raw_input_contents: [lengthPrefixed(mode), bytesOf(new BigInt64Array([BigInt(amount)]))],
  };
}
