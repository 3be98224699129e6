import { expect, test } from "vitest";
import { codeOf } from "../../test/helpers/code-of.ts";
import { useRandom } from "../../test/helpers/random.ts";
import { canShareBatch, findUnbatchable, splitBatch, verifyBatchSize } from "./batch.ts";
import { encodeBytesElements } from "./bytes-elements.ts";
import type { Datatype } from "./datatype.ts";
import { elementCount, type Tensor } from "./tensor.ts";

const tensor = (
  shape: number[],
  datatype: Datatype = "UINT8",
  data: Uint8Array = new Uint8Array(elementCount(shape)),
): Tensor => ({
  name: "t",
  datatype,
  shape,
  data,
});

test("a tensor can be batched where its first dimension is any number of items", () => {
  const spec = (...shape: number[]) => ({ name: "t", datatype: "FP32", shape }) as const;
  expect(findUnbatchable([spec(-1), spec(-1, 3)])).toBeUndefined();
  expect(findUnbatchable([spec(-1), spec(3, -1)])).toEqual(spec(3, -1));
  expect(findUnbatchable([spec()])).toEqual(spec());
});

test.each([
  ["none at all", [[0, 3]]],
  ["more than may run at once", [[5, 3]]],
  [
    "another number in another input",
    [
      [2, 3],
      [3, 3],
    ],
  ],
])("a request of items that are %s is refused", (_, shapes) => {
  expect(
    codeOf(() =>
      verifyBatchSize(
        shapes.map((shape) => tensor(shape)),
        4,
      ),
    ),
  ).toBe("REQUEST_MALFORMED");
});

test("a request has as many items as the first dimension of its inputs", () => {
  expect(verifyBatchSize([tensor([4, 3]), tensor([4])], 4)).toBe(4);
});

test("requests share a batch where all but the number of items is the same", () => {
  expect(canShareBatch([tensor([1, 3]), tensor([1, 2])], [tensor([7, 3]), tensor([7, 2])])).toBe(true);
  expect(canShareBatch([tensor([1, 3]), tensor([1, 2])], [tensor([1, 3]), tensor([1, 4])])).toBe(false);
});

test("what is put side by side and cut apart again is as it was, of any datatype and size", () => {
  const random = useRandom();
  for (let round = 0; round < 200; round++) {
    const datatype = random.pick<Datatype>(["UINT8", "FP32", "INT64", "BYTES"]);
    const rest = Array.from({ length: random.below(3) }, () => random.below(4));
    const parts = Array.from({ length: 1 + random.below(5) }, () => {
      const shape = [random.below(4), ...rest];
      const bytes = () => Buffer.from(Array.from({ length: random.below(6) }, () => random.below(256)));
      const width = datatype === "UINT8" ? 1 : datatype === "FP32" ? 4 : 8;
      const data =
        datatype === "BYTES"
          ? encodeBytesElements(Array.from({ length: elementCount(shape) }, bytes))
          : Uint8Array.from({ length: elementCount(shape) * width }, () => random.below(256));
      return tensor(shape, datatype, data);
    });
    const sizes = parts.map(({ shape }) => shape[0]!);
    const sum = sizes.reduce((total, size) => total + size, 0);
    const whole = tensor([sum, ...rest], datatype, Buffer.concat(parts.map(({ data }) => data)));
    const cut = splitBatch(whole, sizes);
    expect(cut.map(({ shape }) => shape)).toEqual(parts.map(({ shape }) => shape));
    expect(cut.map(({ data }) => [...data])).toEqual(parts.map(({ data }) => [...data]));
  }
});
