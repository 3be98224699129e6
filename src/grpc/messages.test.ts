import { describe, expect, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { MAX_PARTS, MAX_TYPED_WEIGHT } from "./infer-request-limits.ts";
import { inferenceService } from "./messages.ts";
import { decodeInferRequest } from "./tensors.ts";

const attack = attacksOn("calls");

const { ModelInfer, ModelConfig, ModelMetadata } = inferenceService();

/** A length-delimited protobuf field, written by number: what another implementation would send. */
function field(number: number, ...contents: (Uint8Array | string | number[])[]): Buffer {
  const value = Buffer.concat(contents.map((part) => Buffer.from(part as Uint8Array)));
  return Buffer.concat([varint((number << 3) | 2), varint(value.length), value]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return Buffer.from([...bytes, rest]);
    bytes.push((rest & 0x7f) | 0x80);
  }
}

function codeOf(bytes: Buffer): string {
  return ModelInfer.requestDeserialize(bytes).malformed?.code ?? "";
}

describe("the wire", () => {
  test("of a request has the protocol's field numbers", () => {
    const parameter = field(4, field(1, "timeout"), field(2, [0x10, ...varint(1000)]));
    const input = field(
      5,
      field(1, "x"),
      field(2, "FP32"),
      field(3, [1, 2]),
      field(5, field(6, [0, 0, 0x80, 0x3f, 0, 0, 0, 0])),
    );
    const bytes = Buffer.concat([
      field(1, "m"),
      field(2, "1"),
      field(3, "id"),
      parameter,
      input,
      field(6, field(1, "y")),
    ]);
    expect(decodeInferRequest(ModelInfer.requestDeserialize(bytes))).toEqual({
      service: "m",
      version: "1",
      id: "id",
      inputs: [
        { name: "x", datatype: "FP32", shape: [1, 2], data: Uint8Array.of(0, 0, 0x80, 0x3f, 0, 0, 0, 0), place: null },
      ],
      outputs: [{ name: "y", classes: 0, place: null }],
      priority: 0,
      queueTimeoutMs: 1,
      parameters: new Map(),
    });
  });

  test("of a response has the protocol's field numbers", () => {
    const response = {
      model_name: "m",
      model_version: "1",
      id: "id",
      parameters: {},
      outputs: [{ name: "y", datatype: "INT8", shape: [2] }],
      raw_output_contents: [Buffer.from([1, 2])],
    };
    const output = field(5, field(1, "y"), field(2, "INT8"), field(3, [2]));
    const expected = Buffer.concat([field(1, "m"), field(2, "1"), field(3, "id"), output, field(6, [1, 2])]);
    expect(ModelInfer.responseSerialize(response)).toEqual(expected);
  });

  test("of metadata and configuration has the protocol's field numbers", () => {
    const tensor = { name: "x", datatype: "BYTES", shape: [-1] };
    const metadata = { name: "m", versions: ["1"], platform: "p", inputs: [tensor], outputs: [] };
    const minusOne = [255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
    expect(ModelMetadata.responseSerialize(metadata)).toEqual(
      Buffer.concat([
        field(1, "m"),
        field(2, "1"),
        field(3, "p"),
        field(4, field(1, "x"), field(2, "BYTES"), field(3, minusOne)),
      ]),
    );
    const config = {
      name: "m",
      platform: "",
      version_policy: { specific: { versions: [7] } },
      backend: "b",
      max_batch_size: 0,
      input: [{ name: "x", data_type: "TYPE_STRING", dims: [3] }],
      output: [{ name: "y", data_type: "TYPE_BF16", dims: [3] }],
      instance_group: [{ name: "", count: 2, kind: "KIND_CPU" as const, gpus: [] }],
      parameters: { k: { string_value: "v" } },
      model_transaction_policy: { decoupled: true },
      response_cache: { enable: true },
    };
    const bytes = ModelConfig.responseSerialize({ config });
    for (const part of [
      field(5, field(1, "x"), [0x10, 13], field(4, [3])),
      field(6, field(1, "y"), [0x10, 14], field(3, [3])),
      field(3, field(3, field(1, [7]))),
      field(17, "b"),
      field(14, field(1, "k"), field(2, field(1, "v"))),
      field(19, [8, 1]),
      field(24, [8, 1]),
    ]) {
      expect(bytes.includes(part), part.toString("hex")).toBe(true);
    }
    expect(ModelConfig.responseDeserialize(bytes).config.instance_group).toMatchObject([
      { count: 2, kind: "KIND_CPU" },
    ]);
  });

  test("may carry fields this version does not know", () => {
    const unknown = Buffer.concat([field(1, "m"), field(99, "later"), varint(98 << 3), varint(5), field(3, "id")]);
    expect(decodeInferRequest(ModelInfer.requestDeserialize(unknown))).toMatchObject({ service: "m", id: "id" });
  });
});

describe("a hostile request", () => {
  const millions = 4_000_000;

  test.each<[string, () => Buffer, string]>([
    ["of empty inputs", () => Buffer.alloc(millions, field(5)), "REQUEST_MALFORMED"],
    ["of empty outputs", () => Buffer.alloc(millions, field(6)), "REQUEST_MALFORMED"],
    ["of empty parameters", () => Buffer.alloc(millions, field(4)), "REQUEST_MALFORMED"],
    ["of empty raw contents", () => Buffer.alloc(millions, field(7)), "REQUEST_MALFORMED"],
    ["of parameters of an input", () => field(5, Buffer.alloc(millions, field(4))), "REQUEST_MALFORMED"],
    ["of parameters of an output", () => field(6, Buffer.alloc(millions, field(2))), "REQUEST_MALFORMED"],
    ["of contents of an input", () => field(5, Buffer.alloc(millions, field(5))), "REQUEST_MALFORMED"],
    ["of packed dimensions", () => field(5, field(3, Buffer.alloc(millions))), "REQUEST_MALFORMED"],
    ["of single dimensions", () => field(5, Buffer.alloc(millions, Buffer.from([0x18, 0]))), "REQUEST_MALFORMED"],
    ["of packed INT64 elements", () => field(5, field(5, field(3, Buffer.alloc(millions)))), "REQUEST_TOO_LARGE"],
    ["of packed BOOL elements", () => field(5, field(5, field(1, Buffer.alloc(2 * millions)))), "REQUEST_TOO_LARGE"],
    ["of packed FP32 elements", () => field(5, field(5, field(6, Buffer.alloc(8 * millions)))), "REQUEST_TOO_LARGE"],
    ["of empty BYTES elements", () => field(5, field(5, Buffer.alloc(millions, field(8)))), "REQUEST_TOO_LARGE"],
    ["that overruns itself", () => Buffer.from([0x2a, 0x7f, 0]), "REQUEST_MALFORMED"],
    ["that overruns inside", () => field(5, [0x0a, 0x7f]), "REQUEST_MALFORMED"],
    ["of nested groups", () => Buffer.alloc(100_000, 0x0b), "REQUEST_MALFORMED"],
    ["of nested groups in an unknown field", () => Buffer.alloc(100_000, 0x7b), "REQUEST_MALFORMED"],
    ["of an endless integer", () => Buffer.alloc(100, 0xff), "REQUEST_MALFORMED"],
    ["with field number 0", () => Buffer.from([0x02, 0x00]), "REQUEST_MALFORMED"],
  ])("%s is refused before it is decoded", attack.each("sends few bytes that become much memory"), (_, make, code) => {
    expect(codeOf(make())).toBe(code);
  });

  test("at the limits is still taken", () => {
    expect(codeOf(Buffer.alloc(2 * MAX_PARTS, field(7)))).toBe("");
    expect(codeOf(field(5, field(5, field(1, Buffer.alloc(MAX_TYPED_WEIGHT - 1)))))).toBe("");
  });

  test(
    "made by flipping bytes is decoded or refused, never anything else",
    attack("confuses the decoder", "every value of every byte"),
    () => {
      const honest = ModelInfer.requestSerialize({
        model_name: "m",
        model_version: "1",
        id: "id",
        parameters: { priority: { int64_param: 1 } },
        inputs: [
          { name: "x", datatype: "FP32", shape: [2], contents: { fp32_contents: [1, 2] } },
          { name: "y", datatype: "BYTES", shape: [1], contents: { bytes_contents: [Buffer.from("z")] } },
        ],
        outputs: [{ name: "o" }],
        raw_input_contents: [],
      });
      const allowed = new Set(["REQUEST_MALFORMED", "REQUEST_TOO_LARGE", "NOT_IMPLEMENTED"]);
      let refused = 0;
      for (let position = 0; position < honest.length; position++) {
        for (let value = 0; value < 256; value++) {
          const bytes = Buffer.from(honest);
          bytes[position] = value;
          try {
            decodeInferRequest(ModelInfer.requestDeserialize(bytes));
          } catch (error) {
            refused += 1;
            expect(allowed, `byte ${position} = ${value}: ${error}`).toContain((error as { code: string }).code);
          }
        }
      }
      expect(refused).toBeGreaterThan(1000);
      observed(`${honest.length * 256 - refused} decoded, ${refused} refused, nothing else`);
    },
  );
});
