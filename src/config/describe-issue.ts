import { z } from "zod";

/** What is wrong with a value that people wrote, in the same plain words for every file. */
export interface IssueInWords {
  /** `services[0].limits.runs`; empty for the whole. */
  readonly key: string;
  /** Where to look in the file: the way to the value, and to an unknown key itself. */
  readonly path: readonly PropertyKey[];
  /** `expected text, found the number 1; write version: "1"`. */
  readonly words: string;
}

/**
 * The first issue in words, and an unknown key before all others: a mistyped key is unknown and missing.
 * @param value what was parsed
 * @param options.quote false where values are not to be repeated. Default true
 */
export function describeIssue(error: z.ZodError, value: unknown, { quote = true } = {}): IssueInWords {
  const issue = error.issues.find(({ code }) => code === "unrecognized_keys") ?? error.issues[0]!;
  const unknownKey = issue.code === "unrecognized_keys" ? issue.keys[0] : undefined;
  const path = unknownKey === undefined ? issue.path : [...issue.path, unknownKey];
  const words = unknownKey === undefined ? wordsOf(issue, valueAt(value, path), quote) : "is an unknown key";
  return { key: z.core.toDotPath(path), path, words };
}

function wordsOf(issue: z.core.$ZodIssue, found: unknown, quote: boolean): string {
  const expected = expectationOf(issue);
  // A message of our own that says something else, such as that two entries are the same.
  if (!expected.startsWith("expected ")) return expected;
  const wantsText = issue.code === "invalid_type" && issue.expected === "string";
  // Not where only some texts will do.
  if (wantsText && !hasMessage(issue) && quote && (typeof found === "number" || typeof found === "boolean")) {
    const key = issue.path.at(-1);
    return `${expected}, found a ${typeof found}; write ${typeof key === "string" ? `${key}: ` : ""}"${found}"`;
  }
  return `${expected}, found ${nameOf(found, quote && !isSecret(issue))}`;
}

/** Whether the schema says, with the parameter `isSecret`, that the value must not be repeated. */
function isSecret(issue: z.core.$ZodIssue): boolean {
  return issue.code === "custom" && issue.params?.isSecret === true;
}

/** Whether the schema has words of its own for it; zod's begin like this. */
function hasMessage({ message }: z.core.$ZodIssue): boolean {
  return !message.startsWith("Invalid ");
}

function expectationOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return !hasMessage(issue) ? `expected ${typeNames[issue.expected] ?? issue.expected}` : issue.message;
    case "invalid_value":
      return `expected ${issue.values.length > 1 ? "one of " : ""}${issue.values.map(String).join(", ")}`;
    case "too_small":
      return `expected ${bound(issue.origin, "at least", issue.minimum)}`;
    case "too_big":
      return `expected ${bound(issue.origin, "at most", issue.maximum)}`;
    default:
      return !hasMessage(issue) ? "expected text of another form" : issue.message;
  }
}

const typeNames: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "keys with values",
  record: "keys with values",
};

function bound(origin: string, relation: string, limit: number | bigint): string {
  if (origin === "string")
    return `${relation} ${limit}` === "at least 1"
      ? "text that is not empty"
      : `text of ${relation} ${limit} characters`;
  if (origin === "array") return `a list of ${relation} ${limit} ${limit === 1 ? "entry" : "entries"}`;
  return `${relation} ${limit}`;
}

const MAX_QUOTED = 60;

function nameOf(value: unknown, quote: boolean): string {
  if (value === undefined || value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "keys with values";
  if (!quote) return "something else";
  if (typeof value !== "string") return String(value);
  // The URL of a database, in a wrong place or half written, with whatever password it has.
  if (/:\/\/.*(@|password)/is.test(value)) return `${JSON.stringify(value.slice(0, value.indexOf("://") + 3))}…`;
  return JSON.stringify(value.length > MAX_QUOTED ? `${value.slice(0, MAX_QUOTED)}…` : value);
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let found = value;
  for (const key of path) {
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, key)) return undefined;
    found = (found as Record<PropertyKey, unknown>)[key];
  }
  return found;
}
