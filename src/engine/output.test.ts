import { describe, expect, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { type Random, useRandom } from "../../test/helpers/random.ts";
import { SignetError } from "../errors.ts";
import type { RunReply } from "../plugin/index.ts";
import { datatypes, elementCount, MAX_RANK, type TensorSpec } from "../tensor/index.ts";
import { tensorsFromReply } from "./output.ts";

const attack = attacksOn("the gateway by a plugin");

const specs: readonly TensorSpec[] = [
  { name: "scores", datatype: "FP32", shape: [-1, 4] },
  { name: "text", datatype: "BYTES", shape: [1] },
];

/** 1 KiB of the numbers 0 to 255, but for the BYTES element `hi` at 512. */
function useSlot(): Buffer {
  const slot = Buffer.from(Uint8Array.from({ length: 1024 }, (_, index) => index & 0xff));
  slot.set([2, 0, 0, 0, 0x68, 0x69], 512);
  return slot;
}

const scores = { dtype: 1, shape: [2, 4], offset: 64, bytes: 32 };
const text = { dtype: 8, shape: [1], offset: 512, bytes: 6 };

type Answer = Extract<RunReply, { ok: true }>;

function read(reply: RunReply | null, slot = useSlot()) {
  return tensorsFromReply("service", reply, specs, slot, false);
}

function answer(...outputs: Answer["outputs"]): Answer {
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
  test.each<[string, RunReply | null]>([
    ["nothing that could be", null],
    ["a time that is no number", { ...answer(scores, text), runUs: Number.NaN }],
    ["a time that is not finite", { ...answer(scores, text), runUs: Number.POSITIVE_INFINITY }],
    ["a time before its beginning", { ...answer(scores, text), runUs: -1 }],
    ["another datatype", answer({ ...scores, dtype: 10 }, text)],
    ["a datatype that does not exist", answer({ ...scores, dtype: 4096 }, text)],
    ["a shape of another rank", answer({ ...scores, shape: [2, 4, 1] }, text)],
    ["a fixed dimension of another size", answer({ ...scores, shape: [4, 2] }, text)],
    ["a negative dimension", answer({ ...scores, shape: [-2, 4] }, text)],
    ["a datatype that is no number", answer({ ...scores, dtype: Number.NaN }, text)],
    ["a dimension that is no integer", answer({ ...scores, shape: [2.5, 4] }, text)],
    ["dimensions whose product overflows", answer({ ...scores, shape: [2 ** 52, 4] }, text)],
    ["more bytes than its shape takes", answer({ ...scores, bytes: 36 }, text)],
    ["fewer bytes than its shape takes", answer({ ...scores, bytes: 28 }, text)],
    ["bytes that reach past the slot", answer({ ...scores, offset: 1000 }, text)],
    ["a place before the slot", answer({ ...scores, offset: -64 }, text)],
    ["a place far past the slot", answer({ ...scores, offset: Number.MAX_SAFE_INTEGER }, text)],
    ["a place that is no number", answer({ ...scores, offset: Number.NaN }, text)],
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
          const tensors = read(reply, slot);
          accepted++;
          expect(tensors.length).toBe(specs.length);
          for (const [index, { shape, data }] of tensors.entries()) {
            expect(shape.length).toBe(specs[index]!.shape.length);
            expect(data.buffer).not.toBe(slot.buffer);
            const size = datatypes[specs[index]!.datatype].bytes;
            // A size of -0 is one of 0, and only toBe would tell them apart.
            if (size !== null) expect(data.byteLength - elementCount(shape) * size).toBe(0);
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

const odd = [
  ...[Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -1, -0, 0.5, 0, 1, 2, 4, 8, 32, 64, 512, 1024],
  ...[1025, 2 ** 31, 2 ** 32, 2 ** 53, Number.MAX_VALUE],
];

/** A good answer in which some numbers were replaced by odd ones. */
function spoiled(random: Random): RunReply {
  const maybe = (number: number) => (random.below(12) === 0 ? random.pick(odd) : number);
  const outputs = [scores, text].map(({ dtype, shape, offset, bytes }) => {
    const rank = random.below(12) === 0 ? random.below(MAX_RANK + 1) : shape.length;
    const sizes = Array.from({ length: rank }, (_, axis) => maybe(shape[axis] ?? 1));
    return { dtype: maybe(dtype), shape: sizes, offset: maybe(offset), bytes: maybe(bytes) };
  });
  return { ok: true, outputs, runUs: maybe(10) };
}

describe("a failure", () => {
  test.each([
    ["plugin", 1, "CANCELLED"],
    ["plugin", 3, "REQUEST_MALFORMED"],
    ["plugin", 4, "DEADLINE_EXCEEDED"],
    ["plugin", 13, "PLUGIN_FAILED"],
    ["plugin", 0, "PLUGIN_FAILED"],
    ["plugin", -7, "PLUGIN_FAILED"],
    ["plugin", Number.NaN, "PLUGIN_FAILED"],
    ["too-large", 8, "OUTPUT_TOO_LARGE"],
    ["contract", 13, "SERVICE_PROTOCOL"],
  ] as const)("for reason %s with status %s is %s", (reason, status, code) => {
    expect(() => read({ ok: false, reason, status, message: "words" })).toThrow(expect.objectContaining({ code }));
  });
});
