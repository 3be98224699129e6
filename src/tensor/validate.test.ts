import { describe, expect, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { codeOf } from "../../test/helpers/code-of.ts";
import { type Random, useRandom } from "../../test/helpers/random.ts";
import { encodeBytesElements } from "./bytes-elements.ts";
import { datatypeNames, datatypes } from "./datatype.ts";
import type { Tensor, TensorSpec } from "./tensor.ts";
import { validateInputs, validateOutputs } from "./validate.ts";

const attack = attacksOn("calls");

const image: TensorSpec = { name: "image", datatype: "FP32", shape: [1, 3, -1, -1] };
const words: TensorSpec = { name: "words", datatype: "BYTES", shape: [-1] };
const specs = [image, words];

function imageTensor(change: Partial<Tensor> = {}): Tensor {
  return { name: "image", datatype: "FP32", shape: [1, 3, 2, 2], data: new Uint8Array(48), ...change };
}

function wordsTensor(change: Partial<Tensor> = {}): Tensor {
  const data = encodeBytesElements([Buffer.from("one"), Buffer.from("")]);
  return { name: "words", datatype: "BYTES", shape: [2], data, ...change };
}

describe("inputs", () => {
  test("that fit are returned in the service's order, with their data untouched", () => {
    const [first, second] = [wordsTensor(), imageTensor()];
    const ordered = validateInputs([first, second], specs);
    expect(ordered).toEqual([second, first]);
    expect(ordered[0]!.data).toBe(second.data);
  });

  test("of a free dimension may have any size, 0 too", () => {
    expect(codeOf(() => validateInputs([imageTensor({ shape: [1, 3, 0, 7], data: new Uint8Array(0) })], [image]))).toBe(
      "none",
    );
  });

  test("of a service without inputs may be none", () => {
    expect(validateInputs([], [])).toEqual([]);
  });

  test("may be a scalar", () => {
    const scalar: TensorSpec = { name: "s", datatype: "INT64", shape: [] };
    expect(codeOf(() => validateInputs([{ ...scalar, data: new Uint8Array(8) }], [scalar]))).toBe("none");
    expect(codeOf(() => validateInputs([{ ...scalar, data: new Uint8Array(0) }], [scalar]))).toBe("REQUEST_MALFORMED");
  });

  test.each<[string, Tensor[]]>([
    ["an input is missing", [imageTensor()]],
    ["an input is unknown", [imageTensor(), wordsTensor({ name: "word" })]],
    ["an input comes twice", [imageTensor(), imageTensor(), wordsTensor()]],
    ["a name is that of a prototype's member", [imageTensor(), wordsTensor({ name: "__proto__" })]],
    ["the datatype differs", [imageTensor({ datatype: "INT32" }), wordsTensor()]],
    ["a dimension is missing", [imageTensor({ shape: [3, 2, 2] }), wordsTensor()]],
    ["a dimension is too many", [imageTensor({ shape: [1, 3, 2, 2, 1] }), wordsTensor()]],
    ["a fixed dimension differs", [imageTensor({ shape: [2, 3, 2, 1] }), wordsTensor()]],
    ["a dimension is negative", [imageTensor({ shape: [1, 3, -2, -2] }), wordsTensor()]],
    ["a dimension is -1", [imageTensor({ shape: [1, 3, -1, -1] }), wordsTensor()]],
    ["a dimension is a fraction", [imageTensor({ shape: [1, 3, 0.5, 8] }), wordsTensor()]],
    ["a dimension is NaN", [imageTensor({ shape: [1, 3, Number.NaN, 2] }), wordsTensor()]],
    ["the product overflows to what is there", [imageTensor({ shape: [1, 3, 2 ** 32, 2 ** 32] }), wordsTensor()]],
    [
      "the product overflows on the way to 0",
      [imageTensor({ shape: [1, 3, 2 ** 53 - 1, 0], data: new Uint8Array(0) }), wordsTensor()],
    ],
    ["a byte is missing", [imageTensor({ data: new Uint8Array(47) }), wordsTensor()]],
    ["a byte is too many", [imageTensor({ data: new Uint8Array(49) }), wordsTensor()]],
    ["there is no data", [imageTensor({ data: new Uint8Array(0) }), wordsTensor()]],
    ["there are more BYTES elements than the shape says", [imageTensor(), wordsTensor({ shape: [1] })]],
    ["there are fewer BYTES elements than the shape says", [imageTensor(), wordsTensor({ shape: [3] })]],
    [
      "a BYTES length overruns the data",
      [imageTensor(), wordsTensor({ shape: [1], data: Uint8Array.of(9, 0, 0, 0, 1) })],
    ],
    [
      "a BYTES length is the largest",
      [imageTensor(), wordsTensor({ shape: [1], data: Uint8Array.of(255, 255, 255, 255) })],
    ],
    ["a BYTES length is cut", [imageTensor(), wordsTensor({ shape: [1], data: Uint8Array.of(0, 0) })]],
  ])("are refused where %s", attack.each("sends tensors that do not fit"), (_, inputs) => {
    expect(codeOf(() => validateInputs(inputs, specs))).toBe("REQUEST_MALFORMED");
  });

  test(
    "of BOOL are 0 or 1, since anything else is undefined to native code",
    attack("sends a truth value that is none", "BOOL of 2"),
    () => {
      const flags: TensorSpec = { name: "flags", datatype: "BOOL", shape: [2] };
      expect(codeOf(() => validateInputs([{ ...flags, data: Uint8Array.of(0, 1) }], [flags]))).toBe("none");
      expect(codeOf(() => validateInputs([{ ...flags, data: Uint8Array.of(1, 2) }], [flags]))).toBe(
        "REQUEST_MALFORMED",
      );
    },
  );

  test("with a name of a megabyte are refused in a short message", () => {
    try {
      validateInputs([imageTensor({ name: "\n".repeat(1e6) })], [image]);
      expect.unreachable();
    } catch (error) {
      expect((error as Error).message.length).toBeLessThan(500);
      expect((error as Error).message).not.toContain("\n");
    }
  });

  test(
    "at random either fit exactly or are refused as malformed",
    attack("sends tensors at random", "random shapes and lengths, by a seed"),
    () => {
      const random = useRandom();
      let accepted = 0;
      for (let round = 0; round < 20_000; round++) {
        const spec = randomSpec(random);
        const tensor = randomTensor(random, spec);
        const code = codeOf(() => validateInputs([tensor], [spec]));
        expect(code, JSON.stringify({ spec, tensor })).toBe(
          fitsByDefinition(tensor, spec) ? "none" : "REQUEST_MALFORMED",
        );
        if (code === "none") accepted += 1;
      }
      expect(accepted).toBeGreaterThan(1000); // else the random tensors would all be refused for one dull reason
      observed(`${accepted} of 20000 fit exactly, the others are refused`);
    },
  );
});

describe("requested outputs", () => {
  const outputs = [image, words];

  test("are all of them where none is named", () => {
    expect(validateOutputs([], outputs)).toEqual(outputs);
  });

  test("are given in the request's order", () => {
    expect(validateOutputs(["words", "image"], outputs)).toEqual([words, image]);
  });

  test.each([[["other"]], [["image", "image"]], [["toString"]]])("%j are refused", (names) => {
    expect(codeOf(() => validateOutputs(names, outputs))).toBe("REQUEST_MALFORMED");
  });
});

function randomSpec(random: Random): TensorSpec {
  const shape = Array.from({ length: random.below(4) }, () => random.below(5) - 1);
  return { name: "x", datatype: random.pick(datatypeNames), shape };
}

function randomTensor(random: Random, spec: TensorSpec): Tensor {
  const hostile = [-1, -7, 2 ** 31, 2 ** 32, 2 ** 52, 2 ** 53, 2 ** 63, Number.NaN, Number.POSITIVE_INFINITY, 1.5];
  const shape = spec.shape.map((size) => {
    if (random.below(12) === 0) return hostile[random.below(hostile.length)]!;
    return size === -1 || random.below(12) === 0 ? random.below(4) : size;
  });
  if (random.below(12) === 0) shape.push(random.below(3));
  const datatype = random.below(12) === 0 ? "INT8" : spec.datatype;
  const count = shape.reduce((product, size) => product * size, 1);
  const honest = Math.min(Math.max(Math.trunc(count) || 0, 0), 64);
  const data =
    datatype === "BYTES"
      ? encodeBytesElements(Array.from({ length: honest }, () => new Uint8Array(random.below(3))))
      : new Uint8Array(honest * (datatypes[datatype].bytes ?? 1));
  const extra = random.below(6) === 0 ? random.below(9) : 0;
  const cut = random.below(6) === 0 ? random.below(data.length + 1) : 0;
  return { name: "x", datatype, shape, data: new Uint8Array([...data.subarray(cut), ...new Uint8Array(extra)]) };
}

/** The rule said a second way, slowly, with exact integers. */
function fitsByDefinition(tensor: Tensor, spec: TensorSpec): boolean {
  if (tensor.datatype !== spec.datatype || tensor.shape.length !== spec.shape.length) return false;
  if (!tensor.shape.every((size) => Number.isSafeInteger(size) && size >= 0)) return false;
  if (!tensor.shape.every((size, axis) => spec.shape[axis] === -1 || spec.shape[axis] === size)) return false;
  const nonZero = tensor.shape.filter((size) => size !== 0).reduce((product, size) => product * BigInt(size), 1n);
  if (nonZero > BigInt(Number.MAX_SAFE_INTEGER)) return false;
  const count = tensor.shape.reduce((product, size) => product * BigInt(size), 1n);
  const bytes = datatypes[tensor.datatype].bytes;
  if (bytes !== null) return BigInt(tensor.data.length) === count * BigInt(bytes);
  const buffer = Buffer.from(tensor.data);
  let elements = 0n;
  let offset = 0;
  while (offset < buffer.length) {
    if (offset + 4 > buffer.length) return false;
    offset += 4 + buffer.readUInt32LE(offset);
    elements += 1n;
  }
  return offset === buffer.length && elements === count;
}
