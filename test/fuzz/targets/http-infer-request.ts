import { isDeepStrictEqual } from "node:util";
import { decodeInferRequest, encodeInferResponse, type InferRequest } from "../../../src/http/tensors.ts";
import type { Tensor, TensorSpec } from "../../../src/tensor/index.ts";
import { validateInputs, validateOutputs } from "../../../src/tensor/validate.ts";
import { mutateBytes } from "../mutate.ts";
import { mutateJson } from "../mutate-json.ts";
import { hold, type Target } from "../target.ts";

const specs: readonly TensorSpec[] = [
  { name: "x", datatype: "FP32", shape: [-1, 2] },
  { name: "y", datatype: "BYTES", shape: [-1] },
  { name: "z", datatype: "INT64", shape: [-1] },
];

/**
 * An infer request over REST, from its bytes to validated tensors. Before the first zero byte of an input lies the JSON,
 * behind it binary data; without one the body is JSON alone. What comes in as tensors can go out as outputs, and comes
 * in again the same.
 */
export function httpInferRequest(): Target {
  return {
    codes: ["REQUEST_MALFORMED", "REQUEST_TOO_LARGE", "NOT_IMPLEMENTED"],
    starts: starts(),
    mutate: (input, source) => {
      const end = input.indexOf(0);
      if (end === -1) return mutateJson(input, source);
      if (end % 2 === 0) return mutateBytes(input, source);
      return Buffer.concat([mutateJson(input.subarray(0, end), source), input.subarray(end)]);
    },
    maxBytes: 2048,
    run(input) {
      const end = input.indexOf(0);
      const body = end === -1 ? input : Buffer.concat([input.subarray(0, end), input.subarray(end + 1)]);
      const request = decodeInferRequest(body, end === -1 ? undefined : `${end}`);
      const held = request.inputs.reduce((sum, { data, shape }) => sum + data.byteLength + shape.length * 8, 0);
      // An element of eight bytes may be a digit and a comma.
      hold(held <= input.length * 8, "what is decoded is in proportion to the request");
      validateOutputs(
        request.outputs.map(({ name }) => name),
        specs,
      );
      const inputs = validateInputs(request.inputs, specs);
      for (const isBinary of [false, true]) {
        hold(
          isDeepStrictEqual(sent(request, inputs, isBinary), plain(inputs)),
          "outputs can be read as they were sent",
        );
      }
      return `accepted ${inputs.length}`;
    },
  };
}

/** Tensors that went out as outputs and came in as inputs. */
function sent({ id }: InferRequest, tensors: readonly Tensor[], isBinary: boolean) {
  const outputs = tensors.map((tensor) => ({ ...tensor, place: null }));
  const response = { service: "s", version: "1", outputs };
  const { json, binary } = encodeInferResponse({ id, isBinary: () => isBinary }, response);
  const body = Buffer.from(json.toString().replace('"outputs":', '"inputs":'));
  const length = binary === null ? undefined : `${body.length}`;
  return plain(decodeInferRequest(Buffer.concat([body, ...(binary ?? [])]), length).inputs);
}

/** Without what bits of a NaN JSON does not have. */
function plain(tensors: readonly Tensor[]) {
  return tensors.map(({ name, datatype, shape, data }) => {
    const floats =
      datatype === "FP32" ? [...new Float32Array(new Uint8Array(data).buffer)].map((value) => value + 0) : null;
    return { name, datatype, shape, data: floats ?? Buffer.from(data) };
  });
}

function starts(): Buffer[] {
  const floats = { name: "x", datatype: "FP32", shape: [1, 2] };
  const text = { name: "y", datatype: "BYTES", shape: [1], data: ["é"] };
  const longs = { name: "z", datatype: "INT64", shape: [2], data: [1, "9223372036854775807"] };
  const outputs = [
    { name: "x", parameters: { binary_data: true } },
    { name: "y", parameters: { classification: 2 } },
  ];
  const parameters = { priority: 1, timeout: 1000, own: "text", binary_data_output: true };
  const json = (value: object) => Buffer.from(JSON.stringify(value));
  return [
    json({ id: "7", inputs: [{ ...floats, data: [[1, "NaN"]] }, text, longs] }),
    json({ inputs: [{ ...floats, base64: "AACAPwAAgD8=" }, text, longs], outputs, parameters }),
    json({ inputs: [{ ...floats, parameters: { shared_memory_region: "r", shared_memory_byte_size: 8 } }] }),
    Buffer.concat([
      json({ inputs: [{ ...floats, parameters: { binary_data_size: 8 } }, text, longs] }),
      Buffer.from([0, 0, 0, 128, 63, 0, 0, 192, 127]),
    ]),
    Buffer.from('{"inputs":[{"name":"z","datatype":"INT64","shape":[1],"data":[9007199254740993]}],"__proto__":{}}'),
  ];
}
