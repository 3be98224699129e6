import { InvalidArgumentError } from "commander";

export type Labels = Readonly<Record<string, string>>;

/** For an option that can be given several times: `NAME=VALUE`. */
export function collectLabel(text: string, before: Labels = {}): Labels {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("Expected NAME=VALUE.");
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** For an option with a number of something. */
export function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 1) throw new InvalidArgumentError("Expected a whole number from 1.");
  return count;
}
