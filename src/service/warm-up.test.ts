import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { parseConfig } from "../config/index.ts";
import { countBytesElements, type Datatype, datatypeNames, type TensorSpec } from "../tensor/index.ts";
import { prepareWarmUp } from "./warm-up.ts";

const ROOM = 1024;

function prepare(warmup: object, inputs: readonly TensorSpec[], maxBatchSize?: number) {
  const { defaults } = parseConfig({ defaults: { warmup: [{ name: "first", ...warmup }] } }, "/etc/signet.yaml");
  const conf = { name: "reader", inputs: [...inputs].map((input) => ({ ...input, shape: [...input.shape] })) };
  return prepareWarmUp(defaults.warmup, maxBatchSize === undefined ? conf : { ...conf, maxBatchSize }, ROOM);
}

const spec = (name: string, datatype: Datatype, ...shape: number[]): TensorSpec => ({ name, datatype, shape });

test("inputs are zeros in the service's own shape and order unless something else is said", async () => {
  const inputs = [spec("a", "FP32", -1, 3), spec("b", "BYTES", 2), spec("c", "INT8")];
  expect(await prepare({ batchSize: 2, count: 5 }, inputs)).toEqual([
    {
      name: "first",
      count: 5,
      inputs: [
        { name: "a", datatype: "FP32", shape: [2, 3], data: new Uint8Array(24) },
        { name: "b", datatype: "BYTES", shape: [2], data: Buffer.alloc(8) },
        { name: "c", datatype: "INT8", shape: [], data: new Uint8Array(1) },
      ],
    },
  ]);
});

test.each(datatypeNames)("random %s are what a model can take", async (datatype) => {
  const [{ inputs } = { inputs: [] }] = await prepare({ inputs: { a: { shape: [100], data: "random" } } }, [
    spec("a", datatype, -1),
  ]);
  const { data } = inputs[0]!;
  expect(new Set(data).size).toBeGreaterThan(1);
  const view = new DataView(data.buffer, data.byteOffset);
  const numbers = Array.from({ length: 100 }, (_, index) => {
    if (datatype === "FP32") return view.getFloat32(index * 4, true);
    if (datatype === "FP64") return view.getFloat64(index * 8, true);
    if (datatype === "FP16") return view.getFloat16(index * 2, true);
    return 0;
  });
  for (const number of numbers) expect(number >= 0 && number < 1).toBe(true);
  if (datatype === "BYTES") expect(countBytesElements(data)).toBe(100);
  if (datatype === "INT64") for (let at = 0; at < 100; at++) expect(view.getBigInt64(at * 8, true)).toBeLessThan(128n);
});

test("a file's bytes are an input, and so many as its shape has", async () => {
  const folder = mkdtempSync(join(tmpdir(), "signet-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "input.raw");
  writeFileSync(file, Buffer.of(1, 2, 3, 4));
  const of = (...shape: number[]) => prepare({ inputs: { a: { shape, data: { file } } } }, [spec("a", "INT16", -1)]);
  expect((await of(2))[0]!.inputs[0]!.data).toEqual(Uint8Array.of(1, 2, 3, 4));
  await expect(of(3)).rejects.toMatchObject({ code: "WARM_UP_FAILED" });
  writeFileSync(file, Buffer.alloc(ROOM + 1));
  await expect(of(2)).rejects.toMatchObject({ code: "WARM_UP_FAILED" });
  for (const wrong of [join(folder, "nothing"), folder]) {
    const request = { inputs: { a: { shape: [2], data: { file: wrong } } } };
    await expect(prepare(request, [spec("a", "INT16", -1)])).rejects.toMatchObject({ code: "WARM_UP_FAILED" });
  }
});

test.each<[string, object, TensorSpec]>([
  ["an input that the service does not have", { inputs: { b: {} } }, spec("a", "FP32", 1)],
  ["a dimension that nobody says", {}, spec("a", "FP32", 1, -1)],
  ["another shape", { inputs: { a: { shape: [2] } } }, spec("a", "FP32", 3)],
  ["more than there is room for", { inputs: { a: { shape: [ROOM] } } }, spec("a", "FP32", -1)],
  ["more elements than there is room for", { inputs: { a: { shape: [2 ** 31 - 1] } } }, spec("a", "BYTES", -1)],
  ["a shape beyond all numbers", { inputs: { a: { shape: [2 ** 30, 2 ** 30] } } }, spec("a", "BOOL", -1, -1)],
])("%s is said with the request's name", async (_, warmup, input) => {
  await expect(prepare(warmup, [input])).rejects.toMatchObject({
    code: "WARM_UP_FAILED",
    message: expect.stringMatching(/reader.*first/),
  });
});

test("a batch is no larger than the service takes", async () => {
  const input = spec("a", "FP32", -1, 2);
  expect((await prepare({ batchSize: 4 }, [input], 4))[0]!.inputs[0]!.shape).toEqual([4, 2]);
  await expect(prepare({ batchSize: 5 }, [input], 4)).rejects.toMatchObject({ code: "WARM_UP_FAILED" });
});

test("places of files are relative to the configuration file", () => {
  const warmup = [{ name: "first", inputs: { a: { data: { file: "warm/a.raw" } } } }];
  const { defaults, services } = parseConfig({ defaults: { warmup }, services: { x: { warmup } } }, "/etc/signet.yaml");
  for (const { inputs } of [...defaults.warmup, ...services.x!.warmup!]) {
    expect(inputs).toEqual({ a: { data: { file: "/etc/warm/a.raw" } } });
  }
});
