import type { Area, ConformanceCase, InferRequest } from "../case.ts";
import { bytesOf, faulty, floats, good, input, lengthPrefixed } from "../tensors.ts";

/** The elements of a datatype in the field that it has in typed contents, and raw. */
const elements: readonly [datatype: string, field: string, typed: readonly unknown[], raw: Buffer][] = [
  ["BOOL", "bool_contents", [true, false, true], Buffer.of(1, 0, 1)],
  ["INT8", "int_contents", [-128, 0, 127], bytesOf(new Int8Array([-128, 0, 127]))],
  ["INT16", "int_contents", [-32768, -1, 32767], bytesOf(new Int16Array([-32768, -1, 32767]))],
  ["INT32", "int_contents", [-(2 ** 31), 2 ** 31 - 1], bytesOf(new Int32Array([-(2 ** 31), 2 ** 31 - 1]))],
  [
    "INT64",
    "int64_contents",
    ["-9223372036854775808", "9007199254740993", "9223372036854775807"],
    bytesOf(new BigInt64Array([-(2n ** 63n), 2n ** 53n + 1n, 2n ** 63n - 1n])),
  ],
  ["UINT8", "uint_contents", [0, 255], Buffer.of(0, 255)],
  ["UINT16", "uint_contents", [0, 65535], bytesOf(new Uint16Array([0, 65535]))],
  ["UINT32", "uint_contents", [0, 2 ** 32 - 1], bytesOf(new Uint32Array([0, 2 ** 32 - 1]))],
  ["UINT64", "uint64_contents", ["18446744073709551615", "1"], bytesOf(new BigUint64Array([2n ** 64n - 1n, 1n]))],
  ["FP32", "fp32_contents", [1.5, 0.25, Number.POSITIVE_INFINITY], floats(1.5, 0.25, Number.POSITIVE_INFINITY)],
  ["FP64", "fp64_contents", [Math.PI, -1e300], bytesOf(new Float64Array([Math.PI, -1e300]))],
  ["BYTES", "bytes_contents", ["naïve", "", "\0"], lengthPrefixed("naïve", "", "\0")],
];

const halves = Buffer.of(0x00, 0x3c, 0xff, 0x7b, 0x01, 0x80);

/** A tensor that comes back as it was sent. */
function echoed(how: string, datatype: string, request: InferRequest, raw: Buffer, count: number): ConformanceCase {
  const outputs = [{ name: "output", datatype, shape: [`${count}`] }];
  const answer = { model_name: datatype, model_version: "1", id: "7", outputs, raw_output_contents: [raw] };
  const [name, family] = [`a tensor of ${datatype}`, "a tensor of any datatype"].map(
    (what) => `${what} comes back raw, sent ${how}`,
  );
  return { name: name!, family: family!, steps: [{ call: "ModelInfer", request: { ...request, id: "7" }, answer }] };
}

const byDatatype = elements.flatMap(([datatype, field, typed, raw]) => [
  echoed(
    "raw",
    datatype,
    { model_name: datatype, inputs: [input(datatype, [typed.length])], raw_input_contents: [raw] },
    raw,
    typed.length,
  ),
  echoed(
    "typed, where the datatype has a field",
    datatype,
    { model_name: datatype, inputs: [input(datatype, [typed.length], { contents: { [field]: typed } })] },
    raw,
    typed.length,
  ),
]);

const withoutElements = { outputs: [{ name: "output", shape: ["0", "3"] }], raw_output_contents: [Buffer.alloc(0)] };
const two: InferRequest = {
  model_name: "two",
  inputs: [input("FP32", [2], { name: "x" })],
  raw_input_contents: [floats(1, -2)],
};

export const tensorsArea: Area = {
  title: "Tensors",
  cases: [
    ...byDatatype,
    ...["FP16", "BF16"].map((datatype) =>
      echoed(
        "raw",
        datatype,
        { model_name: datatype, inputs: [input(datatype, [3])], raw_input_contents: [halves] },
        halves,
        3,
      ),
    ),
    {
      name: "a tensor without elements comes back with its shape and an empty entry, however it is sent",
      steps: [
        {
          call: "ModelInfer",
          request: { model_name: "matrix", inputs: [input("FP32", [0, 3])], raw_input_contents: [Buffer.alloc(0)] },
          answer: withoutElements,
        },
        {
          call: "ModelInfer",
          request: { model_name: "matrix", inputs: [input("FP32", [0, 3], { contents: { fp32_contents: [] } })] },
          answer: withoutElements,
        },
      ],
    },
    {
      name: "a scalar is a tensor of no dimensions",
      steps: [
        {
          call: "ModelInfer",
          request: { model_name: "scalar", inputs: [input("FP32", [], { contents: { fp32_contents: [2.5] } })] },
          answer: { outputs: [{ name: "output", shape: [] }], raw_output_contents: [floats(2.5)] },
        },
      ],
    },
    {
      name: "inputs may come in any order",
      steps: [
        {
          call: "ModelInfer",
          request: {
            model_name: "faulty",
            inputs: faulty("ok").inputs!.toReversed(),
            raw_input_contents: faulty("ok", 5).raw_input_contents!.toReversed(),
          },
          answer: { outputs: [{ name: "result", datatype: "INT64" }] },
        },
      ],
    },
    {
      name: "all outputs come where none is named",
      steps: [
        {
          call: "ModelInfer",
          request: two,
          answer: {
            outputs: [{ name: "same" }, { name: "negative" }],
            raw_output_contents: [floats(1, -2), floats(-1, 2)],
          },
        },
      ],
    },
    {
      name: "outputs come in the order in which they are named, and no others",
      steps: [
        {
          call: "ModelInfer",
          request: { ...two, outputs: [{ name: "negative" }, { name: "same" }] },
          answer: {
            outputs: [{ name: "negative" }, { name: "same" }],
            raw_output_contents: [floats(-1, 2), floats(1, -2)],
          },
        },
        {
          call: "ModelInfer",
          request: { ...two, outputs: [{ name: "negative" }] },
          answer: { outputs: [{ name: "negative" }], raw_output_contents: [floats(-1, 2)] },
        },
      ],
    },
    {
      name: "a classified output has its largest elements with their labels",
      steps: [
        {
          call: "ModelInfer",
          request: { ...good, outputs: [{ name: "output", parameters: { classification: { int64_param: 2 } } }] },
          answer: {
            outputs: [{ name: "output", datatype: "BYTES", shape: ["2"] }],
            raw_output_contents: [lengthPrefixed("3.000000:2", "2.000000:1:dog")],
          },
        },
      ],
    },
    {
      name: "an output of a service that batches is classified item by item",
      steps: [
        {
          call: "ModelInfer",
          request: {
            model_name: "rows",
            inputs: [input("FP32", [2, 3])],
            outputs: [{ name: "output", parameters: { classification: { int64_param: 1 } } }],
            raw_input_contents: [floats(1, 3, 2, 9, 8, 7)],
          },
          answer: {
            outputs: [{ name: "output", datatype: "BYTES", shape: ["2", "1"] }],
            raw_output_contents: [lengthPrefixed("3.000000:1", "9.000000:0")],
          },
        },
      ],
    },
  ],
};
