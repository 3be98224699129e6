import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BareClient, type BareInferRequest, failureOf } from "../helpers/bare-client.ts";
import { type DescribedService, identityService, startLicensedServer } from "../helpers/licensed-host.ts";

/** One service for each datatype, named after it, and a few of other shapes. */
function identity(name: string, datatype: string, shape: number[] = [-1], more: object = {}): DescribedService {
  return { ...identityService, name, config: { datatype, shape }, limits: {}, ...more };
}

const rawOnly = ["FP16", "BF16"];
const datatypes = [
  ...["BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"],
  ...["FP32", "FP64", "BYTES", ...rawOnly],
];

const services = [
  ...datatypes.map((datatype) => identity(datatype, datatype)),
  identity("scalar", "FP32", []),
  identity("matrix", "FP32", [-1, 3], { version: "7", parameters: { mean: "0.5" }, limits: { concurrency: 3 } }),
];

let server: Awaited<ReturnType<typeof startLicensedServer>>;
let client: BareClient;

beforeAll(async () => {
  server = await startLicensedServer(services, { defaults: { slotMiB: 1 } });
  client = new BareClient(server.server.address, server.token);
});

afterAll(async () => {
  client?.close();
  await server?.end();
});

/** The one input of an identity service. */
function input(datatype: string, shape: number[], contents?: object) {
  return { name: "input", datatype, shape, ...(contents ? { contents } : {}) };
}

function bytesOf(elements: ArrayBufferView): Buffer {
  return Buffer.from(elements.buffer, elements.byteOffset, elements.byteLength);
}

/** BYTES elements as they are raw. */
function lengthPrefixed(...texts: string[]): Buffer {
  return Buffer.concat(
    texts.map((text) => {
      const element = Buffer.alloc(4 + Buffer.byteLength(text));
      element.writeUInt32LE(element.length - 4);
      element.write(text, 4);
      return element;
    }),
  );
}

function float(...values: number[]): Buffer {
  return bytesOf(new Float32Array(values));
}

describe("what the server says of itself", () => {
  test("is live and ready to whoever asks", async () => {
    expect(await client.call("ServerLive", {}, { token: null })).toEqual({ live: true });
    expect(await client.call("ServerReady", {}, { token: null })).toEqual({ ready: true });
  });

  test("has no extension that it does not offer, since clients choose their calls by them", async () => {
    const metadata = await client.call("ServerMetadata");
    expect(metadata).toEqual({
      name: "signet",
      version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
      extensions: [
        ...[
          "classification",
          "model_repository",
          "model_repository(unload_dependents)",
          "schedule_policy",
          "model_configuration",
        ],
        ...["binary_tensor_data", "parameters", "statistics", "trace", "logging"],
      ],
    });
  });

  test("of a service is whether it is ready, by name and by version", async () => {
    expect(await client.call("ModelReady", { name: "matrix" })).toEqual({ ready: true });
    expect(await client.call("ModelReady", { name: "matrix", version: "7" })).toEqual({ ready: true });
    for (const request of [{ name: "matrix", version: "8" }, { name: "nobody" }, { name: "__proto__" }, {}]) {
      for (const method of ["ModelReady", "ModelMetadata", "ModelConfig"]) {
        expect(await failureOf(client.call(method, request))).toEqual({
          status: "NOT_FOUND",
          code: "SERVICE_NOT_FOUND",
        });
      }
    }
  });

  test.each(datatypes)("of a %s service names its tensors", async (datatype) => {
    const tensor = { datatype, shape: ["-1"] };
    expect(await client.call("ModelMetadata", { name: datatype })).toEqual({
      name: datatype,
      versions: ["1"],
      platform: "signet_identity",
      inputs: [{ name: "input", ...tensor }],
      outputs: [{ name: "output", ...tensor }],
    });
    const { config } = await client.call<{ config: Record<string, unknown> }>("ModelConfig", { name: datatype });
    const data_type = datatype === "BYTES" ? "TYPE_STRING" : `TYPE_${datatype}`;
    expect(config).toMatchObject({
      input: [{ name: "input", data_type, dims: ["-1"] }],
      output: [{ name: "output", data_type, dims: ["-1"] }],
    });
  });

  // With a maximum above 0 clients would take the first dimension of the metadata for a batch of their own making.
  test("of a service that does not batch is a maximum batch of 0 and the same shapes in both places", async () => {
    const { config } = await client.call<{ config: Record<string, unknown> }>("ModelConfig", { name: "matrix" });
    expect(config).toMatchObject({
      name: "matrix",
      platform: "signet_identity",
      backend: "identity",
      max_batch_size: 0,
      input: [{ name: "input", data_type: "TYPE_FP32", dims: ["-1", "3"] }],
      instance_group: [{ name: "matrix", count: 3, kind: "KIND_CPU" }],
      parameters: { mean: { string_value: "0.5" } },
      model_transaction_policy: { decoupled: false },
      response_cache: { enable: false },
    });
    expect(config.scheduling_choice).toBeUndefined();
    const metadata = await client.call("ModelMetadata", { name: "matrix" });
    expect(metadata).toMatchObject({ versions: ["7"], inputs: [{ name: "input", shape: ["-1", "3"] }] });
  });

  test("is UNIMPLEMENTED of what it does not offer", async () => {
    for (const method of ["/inference.GRPCInferenceService/Nonsense", "/signet.Nobody/Call"]) {
      expect(await failureOf(client.send(method, Buffer.alloc(0)))).toEqual({ status: "UNIMPLEMENTED" });
    }
  });
});

describe("tensors", () => {
  const typed: [datatype: string, contents: object, elements: number, raw: Buffer][] = [
    ["BOOL", { bool_contents: [true, false, true] }, 3, Buffer.of(1, 0, 1)],
    ["INT8", { int_contents: [-128, 0, 127] }, 3, bytesOf(new Int8Array([-128, 0, 127]))],
    ["INT16", { int_contents: [-32768, -1, 32767] }, 3, bytesOf(new Int16Array([-32768, -1, 32767]))],
    ["INT32", { int_contents: [-(2 ** 31), 2 ** 31 - 1] }, 2, bytesOf(new Int32Array([-(2 ** 31), 2 ** 31 - 1]))],
    [
      "INT64",
      { int64_contents: ["-9223372036854775808", "9007199254740993", "9223372036854775807"] },
      3,
      bytesOf(new BigInt64Array([-(2n ** 63n), 2n ** 53n + 1n, 2n ** 63n - 1n])),
    ],
    ["UINT8", { uint_contents: [0, 255] }, 2, Buffer.of(0, 255)],
    ["UINT16", { uint_contents: [0, 65535] }, 2, bytesOf(new Uint16Array([0, 65535]))],
    ["UINT32", { uint_contents: [0, 2 ** 32 - 1] }, 2, bytesOf(new Uint32Array([0, 2 ** 32 - 1]))],
    [
      "UINT64",
      { uint64_contents: ["18446744073709551615", "1"] },
      2,
      bytesOf(new BigUint64Array([2n ** 64n - 1n, 1n])),
    ],
    ["FP32", { fp32_contents: [1.5, -0, Infinity, 3.4e38] }, 4, float(1.5, -0, Infinity, 3.4e38)],
    ["FP64", { fp64_contents: [Math.PI, -Infinity] }, 2, bytesOf(new Float64Array([Math.PI, -Infinity]))],
    [
      "BYTES",
      { bytes_contents: [Buffer.from("naïve"), Buffer.alloc(0), Buffer.of(0)] },
      3,
      lengthPrefixed("naïve", "", "\0"),
    ],
  ];

  test.each(typed)("of %s come back raw, sent typed or raw", async (datatype, contents, elements, raw) => {
    const requests: BareInferRequest[] = [
      { model_name: datatype, id: "typed", inputs: [input(datatype, [elements], contents)] },
      { model_name: datatype, id: "raw", inputs: [input(datatype, [elements])], raw_input_contents: [raw] },
    ];
    for (const request of requests) {
      expect(await client.infer(request)).toMatchObject({
        model_name: datatype,
        model_version: "1",
        id: request.id,
        outputs: [{ name: "output", datatype, shape: [String(elements)], contents: null }],
        raw_output_contents: [raw],
      });
    }
  });

  test.each(rawOnly)("of %s are taken raw, and refused typed", async (datatype) => {
    const raw = Buffer.of(0x00, 0x3c, 0xff, 0x7b, 0x01, 0x80);
    const response = await client.infer({
      model_name: datatype,
      inputs: [input(datatype, [3])],
      raw_input_contents: [raw],
    });
    expect(response).toMatchObject({ outputs: [{ datatype, shape: ["3"] }], raw_output_contents: [raw] });
    for (const contents of [{ fp32_contents: [1, 2, 3] }, { uint_contents: [1, 2, 3] }, undefined]) {
      const call = client.infer({ model_name: datatype, inputs: [input(datatype, [3], contents)] });
      expect(await failureOf(call)).toEqual({ status: "INVALID_ARGUMENT", code: "REQUEST_MALFORMED" });
    }
  });

  test("without elements come back with their shape and an empty entry, sent in any of the ways", async () => {
    const requests: BareInferRequest[] = [
      { model_name: "matrix", inputs: [input("FP32", [0, 3])], raw_input_contents: [Buffer.alloc(0)] },
      { model_name: "matrix", inputs: [input("FP32", [0, 3], { fp32_contents: [] })] },
      { model_name: "matrix", inputs: [input("FP32", [0, 3])] },
    ];
    for (const request of requests) {
      const { outputs, raw_output_contents } = await client.infer(request);
      expect(outputs).toMatchObject([{ name: "output", shape: ["0", "3"] }]);
      expect(raw_output_contents).toEqual([Buffer.alloc(0)]);
    }
    expect((await client.infer({ model_name: "BYTES", inputs: [input("BYTES", [0])] })).raw_output_contents).toEqual([
      Buffer.alloc(0),
    ]);
  });

  test("may be scalars", async () => {
    const response = await client.infer({
      model_name: "scalar",
      inputs: [input("FP32", [], { fp32_contents: [2.5] })],
    });
    expect(response).toMatchObject({ outputs: [{ shape: [] }], raw_output_contents: [float(2.5)] });
  });

  test("that are wanted may be named, with the parameter that some clients always send", async () => {
    const response = await client.infer({
      model_name: "matrix",
      model_version: "7",
      id: "naïve",
      parameters: {
        triton_enable_empty_final_response: { bool_param: false },
        own: { string_param: "x" },
        sequence_id: { int64_param: 0 },
      },
      inputs: [input("FP32", [1, 3])],
      outputs: [{ name: "output", parameters: { binary_data: { bool_param: true } } }],
      raw_input_contents: [float(1, 2, 3)],
    });
    expect(response).toMatchObject({ id: "naïve", model_version: "7", raw_output_contents: [float(1, 2, 3)] });
  });
});

describe("a request that does not fit", () => {
  const good = { model_name: "matrix", inputs: [input("FP32", [1, 3])], raw_input_contents: [float(1, 2, 3)] };
  const contents = { fp32_contents: [1, 2, 3] };

  test.each<[string, BareInferRequest]>([
    ["a wrong datatype", { ...good, inputs: [input("INT32", [1, 3])] }],
    ["a datatype that is none", { ...good, inputs: [input("toString", [1, 3])] }],
    ["another rank", { ...good, inputs: [input("FP32", [3])] }],
    ["another size of a fixed dimension", { ...good, inputs: [input("FP32", [3, 1])] }],
    ["a negative dimension", { ...good, inputs: [input("FP32", [-1, 3])] }],
    ["a product of dimensions beyond all memory", { ...good, inputs: [input("FP32", [2 ** 62, 3])] }],
    ["a byte too few", { ...good, raw_input_contents: [float(1, 2, 3).subarray(1)] }],
    ["an element too many", { ...good, raw_input_contents: [float(1, 2, 3, 4)] }],
    ["too few typed elements", { model_name: "matrix", inputs: [input("FP32", [2, 3], contents)] }],
    [
      "elements in the field of another datatype",
      { model_name: "matrix", inputs: [input("FP32", [1, 3], { fp64_contents: [1, 2, 3] })] },
    ],
    [
      "an element that its datatype does not have",
      { model_name: "INT8", inputs: [input("INT8", [1], { int_contents: [128] })] },
    ],
    ["raw and typed contents together", { ...good, inputs: [input("FP32", [1, 3], contents)] }],
    ["raw entries without inputs", { ...good, inputs: [] }],
    ["more raw entries than inputs", { ...good, raw_input_contents: [float(1, 2, 3), Buffer.alloc(0)] }],
    ["no inputs", { model_name: "matrix" }],
    ["an input of another name", { ...good, inputs: [{ ...good.inputs[0], name: "Input" }] }],
    [
      "an input twice",
      { ...good, inputs: [...good.inputs, ...good.inputs], raw_input_contents: [float(1, 2, 3), float(1, 2, 3)] },
    ],
    ["an output it does not have", { ...good, outputs: [{ name: "nothing" }] }],
    ["an output twice", { ...good, outputs: [{ name: "output" }, { name: "output" }] }],
    [
      "BOOL bytes that are no truth value",
      { model_name: "BOOL", inputs: [input("BOOL", [1])], raw_input_contents: [Buffer.of(2)] },
    ],
    [
      "BYTES with a length that overruns the data",
      { model_name: "BYTES", inputs: [input("BYTES", [1])], raw_input_contents: [Buffer.of(255, 255, 255, 255, 1)] },
    ],
    [
      "BYTES of another number of elements",
      { model_name: "BYTES", inputs: [input("BYTES", [2])], raw_input_contents: [lengthPrefixed("a")] },
    ],
    ["an unknown reserved parameter", { ...good, parameters: { triton_other: { bool_param: true } } }],
    ["a priority that is no number", { ...good, parameters: { priority: { string_param: "high" } } }],
    ["a negative timeout", { ...good, parameters: { timeout: { int64_param: -1 } } }],
    ["a parameter without a value", { ...good, parameters: { own: {} } }],
  ])("because of %s is INVALID_ARGUMENT", async (_, request) => {
    expect(await failureOf(client.infer(request))).toEqual({ status: "INVALID_ARGUMENT", code: "REQUEST_MALFORMED" });
  });

  test.each<[string, BareInferRequest]>([
    ["a sequence", { ...good, parameters: { sequence_id: { int64_param: 7 }, sequence_start: { bool_param: true } } }],
  ])("because it asks for %s is UNIMPLEMENTED, not answered wrongly", async (_, request) => {
    expect(await failureOf(client.infer(request))).toEqual({ status: "UNIMPLEMENTED", code: "NOT_IMPLEMENTED" });
  });

  test("because there is no such service is NOT_FOUND in the words that clients look for", async () => {
    const call = client.infer({ ...good, model_name: "nobody" });
    await expect(call).rejects.toMatchObject({
      details: expect.stringContaining("Request for unknown model: 'nobody' is not found"),
    });
    expect(await failureOf(client.infer({ ...good, model_version: "8" }))).toMatchObject({ status: "NOT_FOUND" });
  });

  test("is in no one's way: the next one is answered", async () => {
    expect((await client.infer(good)).raw_output_contents).toEqual([float(1, 2, 3)]);
  });
});
