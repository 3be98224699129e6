import { type ErrorCode, SignetError } from "../../src/errors.ts";
import type { Mutator } from "./mutate.ts";

/** One reader of the product that gets bytes which somebody else made. */
export interface Target {
  /** The codes that it may refuse with. Whatever else it throws is a finding. */
  readonly codes: readonly ErrorCode[];
  /** Inputs to begin with, made anew: no key and no license lies in the repository. */
  readonly starts: readonly Buffer[];
  readonly mutate: Mutator;
  /** True where an input is a whole signed file, which means nothing to the keys of another run: none is kept. */
  readonly isWhole?: true;
  /** Longer inputs are cut. */
  readonly maxBytes: number;
  /** Gives the input to the reader; throws what it throws, and Broken where it accepted what it must not. */
  run(input: Buffer): string | undefined | Promise<string | undefined>;
  /** Removes what it made. */
  close?(): void;
}

/** The reader accepted an input, but what it made of it is wrong. */
export class Broken extends Error {}

/** @throws Broken */
export function hold(condition: boolean, promise: string): void {
  if (!condition) throw new Broken(promise);
}

export type Outcome =
  | { readonly kind: "accepted" | "refused"; readonly words: string }
  | { readonly kind: "finding"; readonly words: string; readonly error: unknown };

/** How an input ended; what the target refuses with a code of its own is as good as accepting it. */
export async function tryInput(target: Target, input: Buffer): Promise<Outcome> {
  try {
    const said = target.run(input);
    return { kind: "accepted", words: (said instanceof Promise ? await said : said) ?? "" };
  } catch (error) {
    if (error instanceof SignetError && target.codes.includes(error.code)) {
      return { kind: "refused", words: `${error.code} ${error.message}` };
    }
    return { kind: "finding", words: describe(error), error };
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return `threw ${String(error)}`;
  const place = /\(?(?:file:\/\/)?[^\s(]*\/((?:src|tools|test)\/[^\s)]+:\d+):\d+\)?/.exec(error.stack ?? "")?.[1] ?? "";
  const code = error instanceof SignetError ? ` ${error.code}` : "";
  return `${error.constructor.name}${code}: ${error.message}${place === "" ? "" : ` (${place})`}`;
}
