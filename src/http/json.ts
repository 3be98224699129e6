import type { z } from "zod";
import { describeIssue } from "../config/index.ts";
import { SignetError } from "../errors.ts";

/** Deeper than any request of the protocol: a tensor's elements may be nested as its shape is. */
const MAX_DEPTH = 16;
/**
 * What a document may become in memory, in numbers of an array: an array, an object or a text counts as 8 of them. The
 * same bound as for typed contents over gRPC.
 */
const MAX_WEIGHT = 4 * 1024 * 1024;
const OBJECT_WEIGHT = 8;
/** The same where a number has so many digits that each is asked for: thirty times the work for every value. */
const MAX_EXACT_WEIGHT = 256 * 1024;

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/**
 * JSON from a client. Integers that a double cannot hold become bigint, so that none is rounded; an empty body is an
 * empty object, since clients send none where nothing is to be said.
 * @throws REQUEST_MALFORMED, REQUEST_TOO_LARGE
 */
export function parseJson(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return {};
  const weight = verifyBounds(bytes);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw malformed("expected JSON in UTF-8, found other bytes", cause);
  }
  // Asking for each number's digits is slow, and only long ones need it.
  const isExact = /\d{16}/.test(text);
  if (isExact && weight > MAX_EXACT_WEIGHT) throw tooMany(MAX_EXACT_WEIGHT, " where a number has 16 digits or more");
  try {
    return isExact ? JSON.parse(text, keepDigits as (key: string, value: unknown) => unknown) : JSON.parse(text);
  } catch (cause) {
    throw malformed("expected JSON, found something else", cause);
  }
}

/** The same, in a form that is known. @throws REQUEST_MALFORMED, REQUEST_TOO_LARGE */
export function parseJsonAs<Schema extends z.ZodType>(schema: Schema, bytes: Uint8Array): z.output<Schema> {
  return verifyForm(schema, parseJson(bytes));
}

/** @throws REQUEST_MALFORMED */
export function verifyForm<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { key, words } = describeIssue(result.error, value, { quote: false });
  throw malformed(`${key === "" ? "the request" : key.slice(0, 200)}: ${words}`);
}

/**
 * Walks over the bytes before anything is made of them: two of them could become an object of a hundred.
 * @returns the weight
 */
function verifyBounds(bytes: Uint8Array): number {
  let depth = 0;
  let weight = 0;
  for (let index = 0; index < bytes.length; index++) {
    switch (bytes[index]) {
      case QUOTE:
        index = endOfText(bytes, index);
        weight += OBJECT_WEIGHT;
        break;
      case OPEN_BRACKET:
      case OPEN_BRACE:
        weight += OBJECT_WEIGHT;
        if (++depth > MAX_DEPTH) throw malformed(`expected JSON of at most ${MAX_DEPTH} levels, found more`);
        break;
      case CLOSE_BRACKET:
      case CLOSE_BRACE:
        depth--;
        break;
      case COMMA:
        weight++;
    }
    if (weight > MAX_WEIGHT) throw tooMany(MAX_WEIGHT);
  }
  return weight;
}

function tooMany(maxWeight: number, when = ""): SignetError {
  const words = `expected JSON of at most ${maxWeight} values${when} (an array, object or text counts as ${OBJECT_WEIGHT}), found more; send tensors as binary data`;
  return new SignetError("REQUEST_TOO_LARGE", words);
}

/** Where the text that begins at `start` has its closing quote; the end of the bytes where it has none. */
function endOfText(bytes: Uint8Array, start: number): number {
  for (let end = bytes.indexOf(QUOTE, start + 1); end !== -1; end = bytes.indexOf(QUOTE, end + 1)) {
    let backslashes = 0;
    while (bytes[end - 1 - backslashes] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return bytes.length;
}

function keepDigits(_key: string, value: unknown, { source }: { source?: string }): unknown {
  const isRounded = typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d{16,40}$/.test(source ?? "");
  return isRounded ? BigInt(source!) : value;
}

function malformed(message: string, cause?: unknown): SignetError {
  return new SignetError("REQUEST_MALFORMED", message, { cause });
}
