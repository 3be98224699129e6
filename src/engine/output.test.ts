import { describe, expect, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { type Random, useRandom } from "../../test/helpers/random.ts";
import { SignetError } from "../errors.ts";
import type { RunReply } from "../plugin/index.ts";
import { datatypes, elementCount, type TensorSpec } from "../tensor/index.ts";
import { tensorsFromReply } from "./output.ts";

const attack = attacksOn("the gateway by a plugin");

const specs: readonly TensorSpec[] = [
  { name: "scores", datatype: "FP32", shape: [-1, 4] },
  { name: "text", datatype: "BYTES", shape: [1] },
];

/** 1 KiB of the numbers 0 to 255, but for the BYTES element `hi` at 512. */
function useSlot(): Uint8Array {
  const slot = Uint8Array.from({ length: 1024 }, (_, index) => index & 0xff);
  slot.set([2, 0, 0, 0, 0x68, 0x69], 512);
  return slot;
}

const scores = { dtype: 1, shape: [2, 4], offset: 64, bytes: 32 };
const text = { dtype: 8, shape: [1], offset: 512, bytes: 6 };

/** Replies come out of JSON, so they may be of any shape. */
function read(reply: unknown, slot = useSlot()) {
  return tensorsFromReply("service", reply as RunReply, specs, slot);
}

function answer(...outputs: unknown[]) {
  return { ok: true, outputs, runUs: 10 };
}

const PROTOCOL = expect.objectContaining({ code: "SERVICE_PROTOCOL" });

describe("an answer that fits", () => {
  test("becomes tensors in the order of the specs, with names and datatypes from there", () => {
    const tensors = read(answer(scores, text));
    expect(tensors.map(({ name, datatype, shape }) => ({ name, datatype, shape }))).toEqual([
      { name: "scores", datatype: "FP32", shape: [2, 4] },
      { name: "text", datatype: "BYTES", shape: [1] },
    ]);
    expect([...tensors[0]!.data]).toEqual(Array.from({ length: 32 }, (_, index) => 64 + index));
  });

  test("is copied, so that the next job in the slot does not show through", () => {
    const slot = useSlot();
    const [tensor] = read(answer(scores, text), slot);
    slot.fill(0xee);
    expect(tensor!.data[0]).toBe(64);
  });

  test("may be empty where the size is open", () => {
    const [tensor] = read(answer({ dtype: 1, shape: [0, 4], offset: 1024, bytes: 0 }, text));
    expect(tensor!.data.byteLength).toBe(0);
  });
});

describe("an answer that cannot be", () => {
  test.each([
    ["nothing", undefined],
    ["null", null],
    ["a number", 7],
    ["a list", []],
    ["no ok", { outputs: [scores, text], runUs: 1 }],
    ["an ok that is only nearly true", { ok: 1, outputs: [scores, text], runUs: 1 }],
    ["outputs that are no list", { ok: true, outputs: { 0: scores, 1: text, length: 2 }, runUs: 1 }],
    ["no outputs", { ok: true, runUs: 1 }],
    ["no time", { ok: true, outputs: [scores, text] }],
    ["a time that is no number", { ok: true, outputs: [scores, text], runUs: "1" }],
    ["a time that is not finite", { ok: true, outputs: [scores, text], runUs: Number.NaN }],
    ["a time before its beginning", { ok: true, outputs: [scores, text], runUs: -1 }],
    ["too few outputs", answer(scores)],
    ["too many outputs", answer(scores, text, text)],
    ["a null output", answer(null, text)],
    ["an output that is a number", answer(3, text)],
    ["another datatype", answer({ ...scores, dtype: 10 }, text)],
    ["a datatype that does not exist", answer({ ...scores, dtype: 4096 }, text)],
    ["a datatype in words", answer({ ...scores, dtype: "FP32" }, text)],
    ["a shape that is no list", answer({ ...scores, shape: "2,4" }, text)],
    ["a shape of another rank", answer({ ...scores, shape: [2, 4, 1] }, text)],
    ["a fixed dimension of another size", answer({ ...scores, shape: [4, 2] }, text)],
    ["a negative dimension", answer({ ...scores, shape: [-2, 4] }, text)],
    ["a dimension that is no integer", answer({ ...scores, shape: [2.5, 4] }, text)],
    ["a dimension in words", answer({ ...scores, shape: ["2", 4] }, text)],
    ["dimensions whose product overflows", answer({ ...scores, shape: [2 ** 52, 4] }, text)],
    ["more bytes than its shape takes", answer({ ...scores, bytes: 36 }, text)],
    ["fewer bytes than its shape takes", answer({ ...scores, bytes: 28 }, text)],
    ["bytes that reach past the slot", answer({ ...scores, offset: 1000 }, text)],
    ["a place before the slot", answer({ ...scores, offset: -64 }, text)],
    ["a place far past the slot", answer({ ...scores, offset: Number.MAX_SAFE_INTEGER }, text)],
    ["a place that is no number", answer({ ...scores, offset: "64" }, text)],
    ["a place between two bytes", answer({ ...scores, offset: 64.5 }, text)],
    ["a negative length", answer(scores, { ...text, bytes: -1 })],
    ["a BYTES element cut off", answer(scores, { ...text, bytes: 5 })],
    ["bytes behind the last BYTES element", answer(scores, { ...text, bytes: 8 })],
    ["no BYTES element where there is one", answer(scores, { ...text, bytes: 0 })],
    ["a BYTES length that reaches past its output", answer(scores, { ...text, offset: 516, bytes: 6 })],
  ])("with %s is SERVICE_PROTOCOL", attack.each("lies in an output descriptor"), (_, reply) => {
    expect(() => read(reply)).toThrow(PROTOCOL);
  });

  test(
    "of whatever kind is a SignetError or tensors that fit their specs and the slot",
    attack("answers anything at all", "random answers, by a seed"),
    () => {
      const random = useRandom();
      const slot = useSlot();
      let accepted = 0;
      for (let turn = 0; turn < 20_000; turn++) {
        const reply = spoiled(random);
        try {
          const tensors = tensorsFromReply("service", reply as RunReply, specs, slot);
          accepted++;
          expect(tensors.length).toBe(specs.length);
          for (const [index, { shape, data }] of tensors.entries()) {
            expect(shape.length).toBe(specs[index]!.shape.length);
            expect(data.buffer).not.toBe(slot.buffer);
            const size = datatypes[specs[index]!.datatype].bytes;
            if (size !== null) expect(data.byteLength).toBe(elementCount(shape) * size);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(SignetError);
          expect((error as SignetError).code).not.toBe("INTERNAL");
        }
      }
      expect(accepted).toBeGreaterThan(0);
      expect(accepted).toBeLessThan(20_000);
      observed(`${accepted} of 20000 fit, the others are refused`);
    },
  );
});

/** A good answer in which some values were replaced by odd ones. */
function spoiled(random: Random): unknown {
  const odd: unknown[] = [
    ...[
      undefined,
      null,
      true,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      -1,
      0,
      1,
      2.5,
      8,
      64,
      1024,
      1025,
      2 ** 31,
      2 ** 53,
    ],
    ...[
      "",
      "64",
      [],
      [1],
      [2, 4],
      [-1, 4],
      [2 ** 31, 2 ** 31],
      {},
      { length: 2 },
      { toString: 1 },
      [{ toString: 1 }, 4],
    ],
  ];
  const maybe = (value: unknown): unknown => {
    if (random.below(12) === 0) return random.pick(odd);
    if (Array.isArray(value)) return value.map(maybe);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, maybe(inner)]));
  };
  return maybe(answer(scores, text));
}

describe("a failure", () => {
  test.each([
    ["plugin", 1, "CANCELLED"],
    ["plugin", 3, "REQUEST_MALFORMED"],
    ["plugin", 4, "DEADLINE_EXCEEDED"],
    ["plugin", 13, "PLUGIN_FAILED"],
    ["plugin", 0, "PLUGIN_FAILED"],
    ["plugin", -7, "PLUGIN_FAILED"],
    ["too-large", 8, "OUTPUT_TOO_LARGE"],
    ["contract", 13, "SERVICE_PROTOCOL"],
    ["made up", 1, "SERVICE_PROTOCOL"],
    [undefined, undefined, "SERVICE_PROTOCOL"],
  ])("for reason %s with status %s is %s", (reason, status, code) => {
    expect(() => read({ ok: false, reason, status, message: "words" })).toThrow(expect.objectContaining({ code }));
  });

  test("with a message of any size or type is cut to a readable one", () => {
    for (const message of ["x".repeat(1 << 20), undefined, null, 7, { toString: "no" }, ["a"]]) {
      try {
        read({ ok: false, reason: "plugin", status: 13, message });
        expect.unreachable();
      } catch (error) {
        expect(error).toMatchObject({ code: "PLUGIN_FAILED" });
        expect((error as Error).message.length).toBeLessThan(2100);
      }
    }
  });
});
