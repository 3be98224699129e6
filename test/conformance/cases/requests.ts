import type { Area, ConformanceCase, Failure, InferRequest, WireName } from "../case.ts";
import { late, malformed, notFound, notOffered, pluginFailed, runsExhausted, tooLarge } from "../failures.ts";
import { faulty, floats, good, input, lengthPrefixed } from "../tensors.ts";

const contents = { fp32_contents: [1, 2, 3] };

function refused(
  what: string,
  request: InferRequest,
  fails: Failure = malformed,
  notOver: readonly WireName[] = [],
): ConformanceCase {
  return { name: `${what} is refused`, steps: [{ call: "ModelInfer", request, fails }], notOver };
}

function accepted(what: string, request: Partial<InferRequest>, more: Partial<ConformanceCase> = {}): ConformanceCase {
  const answer = { raw_output_contents: [floats(1, 2, 3)] };
  return {
    name: `${what} is taken`,
    steps: [{ call: "ModelInfer", request: { ...good, ...request }, answer }],
    ...more,
  };
}

export const unfitArea: Area = {
  title: "Requests that do not fit",
  cases: [
    refused("a wrong datatype", { ...good, inputs: [input("INT32", [1, 3])] }),
    refused("a datatype that is none", { ...good, inputs: [input("toString", [1, 3])] }),
    refused("another rank", { ...good, inputs: [input("FP32", [3])] }),
    refused("another size of a fixed dimension", { ...good, inputs: [input("FP32", [3, 1])] }),
    refused("a negative dimension", { ...good, inputs: [input("FP32", [-1, 3])] }),
    refused("a product of dimensions beyond all memory", {
      ...good,
      inputs: [input("FP32", ["4611686018427387904", 3])],
    }),
    refused("raw data with a byte too few", { ...good, raw_input_contents: [floats(1, 2, 3).subarray(1)] }),
    refused("raw data with an element too many", { ...good, raw_input_contents: [floats(1, 2, 3, 4)] }),
    refused("a typed tensor with too few elements", {
      model_name: "matrix",
      inputs: [input("FP32", [2, 3], { contents })],
    }),
    refused(
      "an element in the field of another datatype",
      { model_name: "matrix", inputs: [input("FP32", [1, 3], { contents: { fp64_contents: [1, 2, 3] } })] },
      malformed,
      ["REST"], // JSON has no such fields
    ),
    refused("an element that its datatype does not have", {
      model_name: "INT8",
      inputs: [input("INT8", [1], { contents: { int_contents: [128] } })],
    }),
    refused("a tensor both raw and typed", { ...good, inputs: [input("FP32", [1, 3], { contents })] }),
    refused("raw data that belongs to no input", {
      ...good,
      raw_input_contents: [floats(1, 2, 3), floats(1)],
    }),
    refused("a request without inputs", { model_name: "matrix", inputs: [] }),
    refused("an input of another name", { ...good, inputs: [{ ...input("FP32", [1, 3]), name: "Input" }] }),
    refused("an input beside those that the service has", {
      ...good,
      inputs: [input("FP32", [1, 3]), { ...input("FP32", [1]), name: "more" }],
      raw_input_contents: [floats(1, 2, 3), floats(1)],
    }),
    refused("a request that lacks an input", {
      model_name: "faulty",
      inputs: [faulty("ok").inputs![0]!],
      raw_input_contents: [faulty("ok").raw_input_contents![0]!],
    }),
    refused("an input that is there twice", {
      ...good,
      inputs: [...good.inputs!, ...good.inputs!],
      raw_input_contents: [floats(1, 2, 3), floats(1, 2, 3)],
    }),
    refused("an output that the service does not have", { ...good, outputs: [{ name: "nothing" }] }),
    refused("an output that is named twice", { ...good, outputs: [{ name: "output" }, { name: "output" }] }),
    refused("a BOOL that is neither 0 nor 1", {
      model_name: "BOOL",
      inputs: [input("BOOL", [1])],
      raw_input_contents: [Buffer.of(2)],
    }),
    refused("a BYTES element that is longer than its data", {
      model_name: "BYTES",
      inputs: [input("BYTES", [1])],
      raw_input_contents: [Buffer.of(255, 255, 255, 255, 1)],
    }),
    refused("BYTES data of another number of elements", {
      model_name: "BYTES",
      inputs: [input("BYTES", [2])],
      raw_input_contents: [lengthPrefixed("a")],
    }),
    refused("a classification of text", {
      model_name: "BYTES",
      inputs: [input("BYTES", [1])],
      outputs: [{ name: "output", parameters: { classification: { int64_param: 1 } } }],
      raw_input_contents: [lengthPrefixed("a")],
    }),
    refused("a batch beyond the service's", {
      model_name: "rows",
      inputs: [input("FP32", [5, 3])],
      raw_input_contents: [floats(...Array<number>(15).fill(1))],
    }),
    refused(
      "a tensor beyond the memory that a job of the service has",
      {
        model_name: "UINT8",
        inputs: [input("UINT8", [1.5 * 2 ** 20])],
        raw_input_contents: [Buffer.alloc(1.5 * 2 ** 20)],
      },
      tooLarge,
    ),
    refused("a batch of nothing", {
      model_name: "rows",
      inputs: [input("FP32", [0, 3])],
      raw_input_contents: [Buffer.alloc(0)],
    }),
    ...["FP16", "BF16"].map((datatype) =>
      refused(
        `a typed tensor of ${datatype}, which has no field,`,
        { model_name: datatype, inputs: [input(datatype, [3], { contents })] },
        malformed,
        ["REST"], // which has numbers for any datatype, and its own test of these
      ),
    ),
    refused(
      "a service that is not there",
      { ...good, model_name: "nothing" },
      {
        ...notFound,
        words: "Request for unknown model: 'nothing' is not found", // some clients look for them
      },
    ),
    refused("a version that is not there", { ...good, model_version: "8" }, notFound),
  ],
};

export const parametersArea: Area = {
  title: "Parameters, ids, versions, deadlines",
  cases: [
    accepted("the version by its number", { model_version: "7" }),
    {
      name: "a batch as large as the service takes is taken",
      steps: [
        {
          call: "ModelInfer",
          request: {
            model_name: "rows",
            inputs: [input("FP32", [4, 3])],
            raw_input_contents: [floats(...Array<number>(12).fill(1))],
          },
          answer: { outputs: [{ shape: ["4", "3"] }], raw_output_contents: [floats(...Array<number>(12).fill(1))] },
        },
      ],
    },
    accepted("a priority with a timeout", {
      parameters: { priority: { int64_param: 1 }, timeout: { int64_param: 10_000_000 } },
    }),
    accepted("a parameter that nobody knows", { parameters: { own: { string_param: "x" } } }),
    accepted("the parameter that some clients send with every request", {
      parameters: { triton_enable_empty_final_response: { bool_param: false } },
    }),
    accepted("a sequence that is none", { parameters: { sequence_id: { int64_param: 0 } } }),
    {
      name: "a request's id comes back",
      steps: [{ call: "ModelInfer", request: { ...good, id: "naïve" }, answer: { id: "naïve", model_version: "7" } }],
    },
    refused("a reserved parameter that nobody knows", { ...good, parameters: { triton_other: { bool_param: true } } }),
    refused("a priority that is no number", { ...good, parameters: { priority: { string_param: "high" } } }),
    refused("a negative timeout", { ...good, parameters: { timeout: { int64_param: -1 } } }),
    refused("a parameter without a value", { ...good, parameters: { own: {} } }),
    {
      ...refused("a sequence", { ...good, parameters: { sequence_id: { int64_param: 7 } } }, notOffered),
      deviation: "Triton has sequences of requests that go to one instance; here every request stands alone.",
    },
    {
      name: "a call beyond its deadline ends at its deadline",
      steps: [{ call: "ModelInfer", request: faulty("wait", 3_600_000), timeoutMs: 400, fails: late }],
      notOver: ["REST"],
    },
    {
      name: "an inference that fails in the plugin fails, and the next succeeds",
      steps: [
        { call: "ModelInfer", request: faulty("fail"), fails: pluginFailed },
        { call: "ModelInfer", request: faulty("ok") },
      ],
    },
    {
      name: "an inference beyond the licensed runs is refused",
      steps: [
        {
          call: "ModelInfer",
          request: { model_name: "spent", inputs: [input("FP32", [1])], raw_input_contents: [floats(1)] },
          fails: runsExhausted,
        },
      ],
    },
  ],
};
