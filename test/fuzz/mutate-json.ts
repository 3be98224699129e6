import type { Random } from "../helpers/seeded-random.ts";
import { type MutationSource, type Mutator, mostly, mutateBytes } from "./mutate.ts";

/** Changes the value that a JSON text says; what is no JSON any more is changed as bytes. */
export const mutateJson: Mutator = mostly((input, source) => {
  let value: unknown;
  try {
    value = JSON.parse(input.toString());
  } catch {
    return mutateBytes(input, source);
  }
  const holder = { value };
  const changes = source.random.pick([1, 1, 1, 2, 3]);
  for (let left = changes; left > 0; left--) change(holder, source);
  const text = JSON.stringify(holder.value) ?? "";
  return Buffer.from(source.random.below(16) === 0 ? repeatKey(text, source.random) : text);
});

/** The same for a text of such lines, which can also be repeated, left out and moved. */
export const mutateJsonLines: Mutator = mostly((input, source) => {
  const { random } = source;
  const lines = input.toString().split("\n");
  const at = random.below(lines.length);
  const line = lines[at]!;
  switch (random.below(6)) {
    case 0:
      lines.splice(at, 1);
      break;
    case 1:
      lines.splice(random.below(lines.length + 1), 0, line);
      break;
    case 2:
      lines.splice(at, 1, random.pick(source.other().toString().split("\n")));
      break;
    default:
      lines.splice(at, 1, mutateJson(Buffer.from(line), source).toString());
  }
  return Buffer.from(lines.join("\n"));
});

type Holder = Record<string, unknown>;

/** Every place in a value where another could stand. */
function placesOf(holder: Holder, places: [Holder, string][] = []): [Holder, string][] {
  for (const [key, member] of Object.entries(holder)) {
    places.push([holder, key]);
    if (typeof member === "object" && member !== null) placesOf(member as Holder, places);
  }
  return places;
}

function change(root: Holder, source: MutationSource): void {
  const { random } = source;
  const places = placesOf(root);
  const [holder, key] = random.pick(places);
  const [otherHolder, otherKey] = random.pick(places);
  switch (random.below(8)) {
    case 0:
      remove(holder, key, root);
      break;
    case 1:
      set(holder, Array.isArray(holder) ? String(holder.length) : wordFrom(source), oddValue(source));
      break;
    case 2:
      set(holder, key, structuredClone(otherHolder[otherKey]));
      break;
    case 3:
      if (Array.isArray(holder)) holder.push(structuredClone(holder[Number(key)]));
      else set(holder, key, [holder[key]]);
      break;
    case 4:
      set(holder, key, oddValue(source));
      break;
    default:
      set(holder, key, tweak(holder[key], source));
  }
}

function remove(holder: Holder, key: string, root: Holder): void {
  if (holder === root) return;
  if (Array.isArray(holder)) holder.splice(Number(key), 1);
  else delete holder[key];
}

/** Even `__proto__` becomes a member of its own. */
function set(holder: Holder, key: string, value: unknown): void {
  Object.defineProperty(holder, key, { value, writable: true, enumerable: true, configurable: true });
}

const oddNumbers = [0, -0, 1, -1, 8, 257, 0.5, 2 ** 31, 2 ** 53, -(2 ** 53), 1e300, 5e-324];
const oddTexts = ["", "0", "__proto__", "a".repeat(300), "é", "\u0000", "2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z"];

function oddValue(source: MutationSource): unknown {
  const { random } = source;
  return random.pick<() => unknown>([
    () => random.pick(oddNumbers),
    () => random.pick(oddTexts),
    () => wordFrom(source),
    () => random.pick([null, true, false]),
    () => [],
    () => ({}),
    () => new Array(1 + random.below(70)).fill(random.pick(oddTexts)),
  ])();
}

/** Almost what it was. */
function tweak(value: unknown, source: MutationSource): unknown {
  const { random } = source;
  if (typeof value === "number") return random.below(2) === 0 ? value + random.below(5) - 2 : -value;
  if (typeof value === "boolean") return !value;
  if (typeof value === "string") {
    if (random.below(4) === 0) return wordFrom(source);
    const changed = mutateBytes(Buffer.from(value), source);
    return changed.toString(random.below(2) === 0 ? "utf8" : "latin1");
  }
  return oddValue(source);
}

function wordFrom({ random, words }: MutationSource): string {
  return words.length === 0 ? "x" : random.pick(words);
}

/** A key that is there twice, which no value can say. */
function repeatKey(text: string, random: Random): string {
  const members = [...text.matchAll(/"[^"\\]{1,40}":(?:"[^"\\]*"|[0-9]+)/g)];
  if (members.length === 0) return text;
  const member = random.pick(members);
  return `${text.slice(0, member.index)}${member[0]},${text.slice(member.index)}`;
}
