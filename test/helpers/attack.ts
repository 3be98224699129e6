import { chai, type TestOptions, TestRunner } from "vitest";
import { errorCatalogue } from "../../src/errors.ts";
import type { AttackRecord, Family } from "../../tools/dev/attack-record.ts";

export interface AttackOptions {
  /** A test that is an attack; without a name for it the test's own is taken. */
  (...words: readonly [tried: string] | readonly [attack: string, tried: string]): TestOptions;
  /** The tests of a describe or of `test.each` as ways to one attack: what each tries is its own name. */
  each(attack: string): TestOptions;
}

/**
 * Declares tests to be attacks, in the options that vitest takes after a test's name:
 * `test("a key copied to other hardware is refused", attack("copies the key", "the same key, other hardware"), …)`.
 * Such a test performs the attack and fails if it succeeds. What its assertions see on the way goes into the table of
 * `npm run attack` by itself.
 */
export function attacksOn(family: Family): AttackOptions {
  const declare = (words: Pick<AttackRecord, "attack" | "tried">) => {
    return { tags: ["attack"], meta: { attack: { family, ...words, codes: {}, exits: [] } } };
  };
  const attack = (...words: readonly [string] | readonly [string, string]) =>
    declare(words.length === 1 ? { tried: words[0] } : { attack: words[0], tried: words[1] });
  return Object.assign(attack, { each: (name: string) => declare({ attack: name }) });
}

/** Says what an attack led to where no code does, in words and numbers of what was really seen. */
export function observed(outcome: string): void {
  note((record) => ({ ...record, outcome }));
}

/** Tests of one describe may share what they were declared with, so a record is replaced and never changed. */
function note(change: (record: AttackRecord) => AttackRecord): void {
  const meta = TestRunner.getCurrentTest()?.meta;
  if (meta?.attack !== undefined) meta.attack = change(meta.attack);
}

const knownCodes = new Set<unknown>(Object.entries(errorCatalogue).flatMap(([code, { status }]) => [code, status]));
const isCode = (value: unknown) => knownCodes.has(value) || /^E[A-Z]{3,}$/.test(String(value));

/**
 * The codes in what an assertion had before it: an error, the end of a program, its last words, or several of these.
 */
function codesIn(value: unknown, depth = 0): readonly string[] {
  if (typeof value === "string") {
    if (isCode(value)) return [value];
    return [...value.matchAll(/^signet(?:-license)?: ([A-Z_]+): /gm)].map((match) => match[1]!);
  }
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || depth > 2) return [];
  if ("code" in value && isCode(value.code)) return [value.code as string];
  return Object.values(value instanceof Set ? [...value] : value)
    .slice(0, 100)
    .flatMap((each) => codesIn(each, depth + 1));
}

function witness(actual: unknown): void {
  const found = codesIn(actual);
  if (found.length === 0) return;
  const exit = typeof actual === "object" && actual !== null && "exit" in actual ? actual.exit : undefined;
  note((record) => {
    const codes = { ...record.codes };
    for (const code of found) codes[code] = (codes[code] ?? 0) + 1;
    const exits = typeof exit === "number" && exit > 0 ? [...new Set([...record.exits, exit])] : record.exits;
    return { ...record, codes, exits };
  });
}

// What these assertions compare is written down once they have passed, so that nobody repeats by hand what a test
// found.
for (const method of ["toBe", "toEqual", "toMatchObject", "toThrow", "toContain", "toMatch"] as const) {
  chai.util.overwriteMethod(chai.Assertion.prototype, method, (original: (...args: unknown[]) => void) => {
    return function (this: Chai.AssertionStatic, ...args: unknown[]) {
      const subject: unknown = chai.util.flag(this, "object");
      let actual = subject;
      if (method === "toThrow" && typeof subject === "function") {
        chai.util.flag(this, "object", () => {
          try {
            return subject();
          } catch (error) {
            actual = error;
            throw error;
          }
        });
      }
      original.apply(this, args);
      // A list or a set that is searched holds what is allowed, not what was found.
      const isSearch = method === "toContain" && typeof actual !== "string";
      if (chai.util.flag(this, "negate") !== true && !isSearch) witness(actual);
    };
  });
}
