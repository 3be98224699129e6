import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import type { Tensor } from "../tensor/index.ts";
import { type Question, ResponseCache } from "./response-cache.ts";

const MiB = 2 ** 20;

function bytes(name: string, ...values: number[]): Tensor {
  return { name, datatype: "UINT8", shape: [values.length], data: Uint8Array.from(values) };
}

function ask(...inputs: Tensor[]): Question {
  return { service: "pictures", version: "1", inputs };
}

const answer = [bytes("output", 7)];

test("the same question finds the answer, and no other does", () => {
  const cache = new ResponseCache({ maxBytes: MiB });
  const question = ask(bytes("a", 1, 2), bytes("b", 3));
  expect(cache.look(question).outputs).toBeUndefined();
  cache.look(question).keep(answer);
  expect(cache.look(ask(bytes("a", 1, 2), bytes("b", 3))).outputs).toEqual(answer);
  for (const other of others(question)) expect(cache.look(other).outputs).toBeUndefined();
});

/** Questions that differ from the one in a single thing. */
function others(question: Question): Question[] {
  const [a, b] = question.inputs as [Tensor, Tensor];
  return [
    { ...question, service: "sounds" },
    { ...question, version: "2" },
    { ...question, inputs: [b, a] },
    { ...question, inputs: [a] },
    { ...question, inputs: [{ ...a, name: "c" }, b] },
    { ...question, inputs: [{ ...a, datatype: "INT8" }, b] },
    { ...question, inputs: [{ ...a, shape: [1, 2] }, b] },
    { ...question, inputs: [{ ...a, data: Uint8Array.of(1, 4) }, b] },
    // The same bytes in another place.
    { ...question, inputs: [bytes("a", 1), bytes("b", 2, 3)] },
  ];
}

test("questions whose digests collide do not get each other's answers", () => {
  const same = () => {
    const hash = createHash("sha256");
    hash.update = () => hash; // whatever goes in, the same comes out
    return hash;
  };
  const cache = new ResponseCache({ maxBytes: MiB, createHash: same });
  const question = ask(bytes("a", 1, 2), bytes("b", 3));
  cache.look(question).keep(answer);
  for (const other of others(question)) expect(cache.look(other).outputs).toBeUndefined();
  const other = ask(bytes("a", 9));
  cache.look(other).keep([bytes("output", 8)]);
  expect(cache.look(other).outputs).toEqual([bytes("output", 8)]);
  expect(cache.look(question).outputs).toBeUndefined();
});

test("what is kept does not change with the memory that it came from", () => {
  const cache = new ResponseCache({ maxBytes: MiB });
  const message = Uint8Array.of(1, 2, 3, 4);
  const slot = Uint8Array.of(7);
  const question = ask({ ...bytes("a", 2, 3), data: message.subarray(1, 3) });
  cache.look(question).keep([{ ...bytes("output", 7), data: slot }]);
  message.fill(9);
  slot.fill(9);
  expect(cache.look(ask(bytes("a", 2, 3))).outputs).toEqual([bytes("output", 7)]);
});

test("the least recently used answers go when there is no more room, and one that has none at all is not kept", () => {
  const cache = new ResponseCache({ maxBytes: 10_000 });
  const large = (value: number) => ask({ ...bytes("a"), shape: [3000], data: new Uint8Array(3000).fill(value) });
  for (const value of [1, 2]) cache.look(large(value)).keep(answer);
  expect(cache.look(large(1)).outputs).toEqual(answer); // now 2 is the older one
  cache.look(large(3)).keep(answer);
  expect([1, 2, 3].map((value) => cache.look(large(value)).outputs !== undefined)).toEqual([true, false, true]);
  cache.look(ask({ ...bytes("a"), shape: [20_000], data: new Uint8Array(20_000) })).keep(answer);
  expect([1, 2, 3].map((value) => cache.look(large(value)).outputs !== undefined)).toEqual([true, false, true]);
  expect(cache.heldBytes).toBeLessThanOrEqual(10_000);
});

test("very many small answers are as few as large ones", () => {
  const cache = new ResponseCache({ maxBytes: MiB });
  for (let value = 0; value < 5000; value++) cache.look(ask(bytes("a", value & 255, value >> 8))).keep(answer);
  expect(cache.heldBytes).toBeLessThanOrEqual(MiB);
});

test("clearing forgets a service's answers, and those that are still being computed", () => {
  const cache = new ResponseCache({ maxBytes: MiB });
  const question = ask(bytes("a", 1));
  const sounds = { ...question, service: "sounds" };
  cache.look(question).keep(answer);
  cache.look(sounds).keep(answer);
  const underWay = cache.look(ask(bytes("a", 2)));
  cache.clear("pictures");
  underWay.keep(answer);
  expect(cache.look(question).outputs).toBeUndefined();
  expect(cache.look(ask(bytes("a", 2))).outputs).toBeUndefined();
  expect(cache.look(sounds).outputs).toEqual(answer);
  cache.clear();
  expect(cache.look(sounds).outputs).toBeUndefined();
});
