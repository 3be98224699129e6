import { expect, test } from "vitest";
import { ProcessingError, processingFor, processingNames, type Tensor } from "./index.ts";

const refusedAs = (code: string) => expect.objectContaining({ name: "ProcessingError", code });
const image = { width: 320, height: 48, data: new Uint8Array(320 * 48 * 3) };
const parameters = { processing: "text-line", characters: "a\nb\n" };

/** An answer of one step in which each class of [blank, a, b, space] has its probability. */
function answer(...probabilities: number[]): Tensor[] {
  const data = new Uint8Array(Float32Array.from(probabilities).buffer);
  return [{ name: "out", datatype: "FP32", shape: [1, 1, probabilities.length], data }];
}

test("every name listed has its processing", () => {
  for (const name of processingNames) expect(processingFor(name).name).toBe(name);
});

test.each(["", "Text-Line", "toString", "__proto__", "constructor"])("the processing %j is unknown", (name) => {
  expect(() => processingFor(name)).toThrow(ProcessingError);
  expect(() => processingFor(name)).toThrow(refusedAs("PROCESSING_UNKNOWN"));
});

test("a doubtful answer is compared with that of the picture turned", async () => {
  const answers = [answer(0, 0.86, 0.1, 0), answer(0, 0, 0.97, 0)];
  const reading = await processingFor("text-line").read(image, parameters, async () => answers.shift()!);
  expect(reading).toMatchObject({ text: "b", readable: true, rotateDegrees: 180 });
});

test("the picture turned must be read for sure to count", async () => {
  const answers = [answer(0, 0.5, 0.1, 0), answer(0, 0, 0.89, 0)];
  const reading = await processingFor("text-line").read(image, parameters, async () => answers.shift()!);
  expect(reading).toMatchObject({ text: "", readable: false, rotateDegrees: 0 });
});

test("an upright answer good enough stands when the picture turned says less", async () => {
  const answers = [answer(0, 0.87, 0.1, 0), answer(1, 0, 0, 0)];
  const reading = await processingFor("text-line").read(image, parameters, async () => answers.shift()!);
  expect(reading).toMatchObject({ text: "a", readable: true, rotateDegrees: 0 });
});

test("the service's own confidence decides", () => {
  const textLine = processingFor("text-line");
  expect(textLine.interpret(answer(0, 0.6, 0, 0), { ...parameters, minConfidence: "0.5" }).text).toBe("a");
  expect(textLine.interpret(answer(0, 0.6, 0, 0), { ...parameters, minConfidence: "0.7" }).readable).toBe(false);
});

test.each([
  ["no dictionary", { processing: "text-line" }],
  ["an empty dictionary", { characters: "" }],
  ["a confidence above 1", { characters: "a\n", minConfidence: "80" }],
  ["a confidence that is no number", { characters: "a\n", minConfidence: "high" }],
  ["an empty confidence", { characters: "a\n", minConfidence: " " }],
])("parameters with %s are refused before a run is spent", async (_, wrong) => {
  let runs = 0;
  const infer = async () => {
    runs++;
    return answer(1, 0, 0, 0);
  };
  await expect(processingFor("text-line").read(image, wrong, infer)).rejects.toThrow(refusedAs("PARAMETERS_INVALID"));
  expect(runs).toBe(0);
});

test("any other number of outputs than one is refused", () => {
  const textLine = processingFor("text-line");
  expect(() => textLine.interpret([], parameters)).toThrow(refusedAs("OUTPUT_INVALID"));
  const two = [...answer(1, 0, 0, 0), ...answer(1, 0, 0, 0)];
  expect(() => textLine.interpret(two, parameters)).toThrow(refusedAs("OUTPUT_INVALID"));
});
