import { describe, expect, test } from "vitest";
import { SignetError } from "../errors.ts";
import type { AnsweredOutput } from "../service/index.ts";
import {
  type InferContentsMessage,
  type InferInputMessage,
  type InferRequestMessage,
  inferenceService,
} from "./messages.ts";
import { decodeInferRequest, encodeInferResponse, type InferRequest } from "./tensors.ts";

const { ModelInfer } = inferenceService();

/** Through the wire and back, as a client's request arrives. */
function receive(change: Partial<InferRequestMessage>): InferRequest {
  const message = {
    model_name: "m",
    model_version: "",
    id: "",
    parameters: {},
    inputs: [],
    outputs: [],
    raw_input_contents: [],
  };
  return decodeInferRequest(ModelInfer.requestDeserialize(ModelInfer.requestSerialize({ ...message, ...change })));
}

function input(change: Partial<InferInputMessage> = {}): InferInputMessage {
  return { name: "x", datatype: "FP32", shape: [1], ...change };
}

function codeOf(act: () => unknown): string {
  try {
    act();
    return "";
  } catch (error) {
    if (error instanceof SignetError) return error.code;
    throw error;
  }
}

describe("raw contents", () => {
  test("go to the inputs in order, as views of the message", () => {
    const message = ModelInfer.requestDeserialize(
      ModelInfer.requestSerialize({
        model_name: "m",
        model_version: "2",
        id: "7",
        parameters: {},
        inputs: [input({ name: "a", shape: [2] }), input({ name: "b", datatype: "BF16", shape: [3, 1] })],
        outputs: [{ name: "y" }],
        raw_input_contents: [Buffer.alloc(8, 1), Buffer.alloc(6, 2)],
      }),
    );
    const request = decodeInferRequest(message);
    expect(request).toMatchObject({
      service: "m",
      version: "2",
      id: "7",
      outputs: [{ name: "y", classes: 0, place: null }],
      priority: 0,
      queueTimeoutMs: null,
    });
    expect(request.inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape }))).toEqual([
      { name: "a", datatype: "FP32", shape: [2] },
      { name: "b", datatype: "BF16", shape: [3, 1] },
    ]);
    expect(request.inputs[1]!.data).toEqual(Buffer.alloc(6, 2));
    expect(request.inputs[1]!.data).toBe(message.raw_input_contents[1]);
  });

  test("may be empty, and still stand for their input", () => {
    const { inputs } = receive({ inputs: [input({ shape: [0] })], raw_input_contents: [new Uint8Array(0)] });
    expect(inputs[0]!.data.length).toBe(0);
  });

  test("beside an empty contents message are accepted", () => {
    const { inputs } = receive({ inputs: [input({ contents: {} })], raw_input_contents: [Buffer.alloc(4)] });
    expect(inputs[0]!.data.length).toBe(4);
  });

  test.each([
    [
      "mixed with typed contents",
      { inputs: [input({ contents: { fp32_contents: [1] } })], raw_input_contents: [Buffer.alloc(4)] },
    ],
    ["fewer than inputs", { inputs: [input(), input({ name: "z" })], raw_input_contents: [Buffer.alloc(4)] }],
    ["more than inputs", { inputs: [input()], raw_input_contents: [Buffer.alloc(4), Buffer.alloc(4)] }],
    ["without any input", { raw_input_contents: [Buffer.alloc(4)] }],
    ["of an unknown datatype", { inputs: [input({ datatype: "FP8" })], raw_input_contents: [Buffer.alloc(1)] }],
    [
      "of a datatype in small letters",
      { inputs: [input({ datatype: "fp32" })], raw_input_contents: [Buffer.alloc(4)] },
    ],
    [
      "of a datatype every object has",
      { inputs: [input({ datatype: "toString" })], raw_input_contents: [Buffer.alloc(4)] },
    ],
  ])("%s are refused", (_, change) => {
    expect(codeOf(() => receive(change))).toBe("REQUEST_MALFORMED");
  });
});

describe("typed contents", () => {
  const elements: [string, Partial<InferContentsMessage>, string][] = [
    ["BOOL", { bool_contents: [true, false] }, "0100"],
    ["INT8", { int_contents: [-128, 127] }, "807f"],
    ["INT16", { int_contents: [-32768, 1] }, "00800100"],
    ["INT32", { int_contents: [-1, 2] }, "ffffffff02000000"],
    ["INT64", { int64_contents: ["-9223372036854775808", "9007199254740993"] }, "00000000000000800100000000002000"],
    ["UINT8", { uint_contents: [255, 0] }, "ff00"],
    ["UINT16", { uint_contents: [65535, 1] }, "ffff0100"],
    ["UINT32", { uint_contents: [4294967295, 1] }, "ffffffff01000000"],
    ["UINT64", { uint64_contents: ["18446744073709551615", "1"] }, "ffffffffffffffff0100000000000000"],
    ["FP32", { fp32_contents: [1, -2] }, "0000803f000000c0"],
    ["FP64", { fp64_contents: [1, -2] }, "000000000000f03f00000000000000c0"],
    ["BYTES", { bytes_contents: [Buffer.from("a"), Buffer.from("")] }, "010000006100000000"],
  ];

  test.each(elements)("of %s become little-endian bytes", (datatype, contents, hex) => {
    const { inputs } = receive({ inputs: [input({ datatype, shape: [2], contents })] });
    expect(Buffer.from(inputs[0]!.data).toString("hex")).toBe(hex);
  });

  test.each([
    ["INT8", { int_contents: [128] }],
    ["INT8", { int_contents: [-129] }],
    ["INT16", { int_contents: [32768] }],
    ["UINT8", { uint_contents: [256] }],
    ["UINT16", { uint_contents: [65536] }],
    ["FP32", { fp64_contents: [1] }],
    ["INT64", { int_contents: [1] }],
    ["UINT8", { int_contents: [1] }],
    ["BYTES", { uint_contents: [1] }],
    ["FP16", { fp32_contents: [1] }],
    ["BF16", { fp32_contents: [1] }],
    ["FP32", { fp32_contents: [1], int_contents: [1] }],
  ])("of %s in %j are refused", (datatype, contents) => {
    expect(codeOf(() => receive({ inputs: [input({ datatype, contents })] }))).toBe("REQUEST_MALFORMED");
  });

  test("may be left out for a tensor without elements", () => {
    expect(receive({ inputs: [input({ shape: [0] })] }).inputs[0]!.data.length).toBe(0);
  });
});

describe("shapes", () => {
  test("beyond what a number holds exactly are never taken for a size", () => {
    const { inputs } = receive({
      inputs: [input({ shape: ["9007199254740993", "-1"] })],
      raw_input_contents: [Buffer.alloc(4)],
    });
    expect(Number.isSafeInteger(inputs[0]!.shape[0])).toBe(false);
    expect(inputs[0]!.shape[1]).toBe(-1);
  });
});

describe("parameters", () => {
  test("that the protocol defines are understood, and others are kept for the service", () => {
    const request = receive({
      parameters: {
        priority: { uint64_param: 3 },
        timeout: { int64_param: 1500 },
        triton_enable_empty_final_response: { bool_param: true },
        sequence_id: { int64_param: 0 },
        language: { string_param: "de" },
        scale: { double_param: 0.5 },
        offset: { int64_param: "-9223372036854775808" },
      },
    });
    expect(request.priority).toBe(3);
    expect(request.queueTimeoutMs).toBe(2);
    expect(Object.fromEntries(request.parameters)).toEqual({
      language: "de",
      scale: 0.5,
      offset: -9223372036854775808n,
    });
  });

  test("named like a prototype's members are ordinary names", () => {
    const parameters = JSON.parse('{"__proto__":{"string_param":"p"},"constructor":{"string_param":"c"}}');
    expect([...receive({ parameters }).parameters]).toEqual([
      ["__proto__", "p"],
      ["constructor", "c"],
    ]);
  });

  test.each([
    ["an unknown reserved name", { triton_other: { bool_param: true } }, "REQUEST_MALFORMED"],
    [
      "a reserved name with another kind of value",
      { triton_enable_empty_final_response: { int64_param: 1 } },
      "REQUEST_MALFORMED",
    ],
    ["a negative priority", { priority: { int64_param: -1 } }, "REQUEST_MALFORMED"],
    ["a priority in words", { priority: { string_param: "high" } }, "REQUEST_MALFORMED"],
    ["a timeout that is no integer", { timeout: { double_param: 1 } }, "REQUEST_MALFORMED"],
    ["no value", { x: {} }, "REQUEST_MALFORMED"],
    ["a sequence", { sequence_id: { int64_param: 5 } }, "NOT_IMPLEMENTED"],
    ["a sequence with a name", { sequence_id: { string_param: "s" } }, "NOT_IMPLEMENTED"],
    ["the start of a sequence", { sequence_start: { bool_param: true } }, "NOT_IMPLEMENTED"],
  ])("with %s are refused", (_, parameters, code) => {
    expect(codeOf(() => receive({ parameters }))).toBe(code);
  });

  const region = { shared_memory_region: { string_param: "r" } };
  const size = { shared_memory_byte_size: { int64_param: 8 } };

  test("say where an input lies in shared memory, and raw contents are those of the others", () => {
    const { inputs } = receive({
      inputs: [
        input({ name: "a", parameters: { ...region, ...size, shared_memory_offset: { int64_param: 64 } } }),
        input({ name: "b" }),
        input({ name: "c", parameters: { ...region, ...size } }),
      ],
      raw_input_contents: [Buffer.of(1, 2, 3, 4)],
    });
    expect(inputs.map(({ place, data }) => [place, data.length])).toEqual([
      [{ region: "r", offset: 64, byteSize: 8 }, 0],
      [null, 4],
      [{ region: "r", offset: 0, byteSize: 8 }, 0],
    ]);
  });

  test("say how an output is wanted", () => {
    const outputs = [
      { name: "x", parameters: { classification: { int64_param: 3 } } },
      { name: "y", parameters: { ...region, ...size } },
      { name: "z", parameters: { binary_data: { bool_param: true } } },
    ];
    expect(receive({ outputs }).outputs).toEqual([
      { name: "x", classes: 3, place: null },
      { name: "y", classes: 0, place: { region: "r", offset: 0, byteSize: 8 } },
      { name: "z", classes: 0, place: null },
    ]);
  });

  test.each([
    ["a region without a size", { inputs: [input({ parameters: region })] }],
    ["a size without a region", { outputs: [{ name: "y", parameters: size }] }],
    [
      "a region that is a number",
      { inputs: [input({ parameters: { ...size, shared_memory_region: { int64_param: 1 } } })] },
    ],
    [
      "a negative offset",
      { inputs: [input({ parameters: { ...region, ...size, shared_memory_offset: { int64_param: -1 } } })] },
    ],
    [
      "another parameter of shared memory",
      { outputs: [{ name: "y", parameters: { shared_memory_key: { string_param: "r" } } }] },
    ],
    [
      "contents beside a region",
      { inputs: [input({ parameters: { ...region, ...size }, contents: { fp32_contents: [1] } })] },
    ],
    ["no classes", { outputs: [{ name: "y", parameters: { classification: { int64_param: 0 } } }] }],
    ["classes in words", { outputs: [{ name: "y", parameters: { classification: { string_param: "all" } } }] }],
  ])("that name %s are refused", (_, change) => {
    expect(codeOf(() => receive(change))).toBe("REQUEST_MALFORMED");
  });
});

describe("a response", () => {
  const outputs: AnsweredOutput[] = [
    { name: "a", datatype: "FP32", shape: [1], data: Buffer.alloc(4, 1), place: null },
    { name: "b", datatype: "INT64", shape: [0], data: new Uint8Array(0), place: null },
    {
      ...{ name: "c", datatype: "INT64", shape: [1], data: new Uint8Array(0) },
      place: { region: "r", offset: 64, byteSize: 8 },
    },
  ];

  test("has raw contents for every output, also an empty one, none typed, and the place of one in shared memory", () => {
    const message = encodeInferResponse({ service: "m", id: "7" }, "1", outputs);
    const response = ModelInfer.responseDeserialize(ModelInfer.responseSerialize(message));
    expect(response).toMatchObject({ model_name: "m", model_version: "1", id: "7" });
    expect(response.outputs).toMatchObject([
      { name: "a", datatype: "FP32", shape: ["1"], contents: null, parameters: {} },
      { name: "b", datatype: "INT64", shape: ["0"], contents: null, parameters: {} },
      {
        name: "c",
        parameters: {
          shared_memory_region: { string_param: "r" },
          shared_memory_byte_size: { int64_param: "8" },
          shared_memory_offset: { int64_param: "64" },
        },
      },
    ]);
    expect(response.raw_output_contents.map((raw) => raw.length)).toEqual([4, 0, 0]);
  });
});
