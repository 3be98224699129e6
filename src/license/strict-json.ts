/** Why a text is not strict JSON; the caller turns it into its own coded error. */
export class StrictJsonError extends Error {}

export interface StrictJsonOptions {
  /** Nested arrays and objects allowed, 1 to 1000. Default 16. */
  readonly maxDepth?: number;
}

/**
 * JSON without the freedoms that let two readers disagree about the same bytes: invalid UTF-8, a byte order
 * mark, duplicate keys, the key `__proto__`, unpaired surrogates, numbers beyond a double and deep nesting
 * are refused. Throws StrictJsonError.
 */
export function parseStrictJson(input: Uint8Array | string, options: StrictJsonOptions = {}): unknown {
  return new Reader(typeof input === "string" ? input : decodeUtf8(input), options.maxDepth ?? 16).document();
}

/** Compact JSON with sorted keys: the same value always gives the same bytes, so issued files can be compared. */
export function formatJson(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    typeof member === "object" && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new StrictJsonError("not valid UTF-8");
  }
}

const numberPattern = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const stringPattern = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const spacePattern = /[ \t\n\r]*/y;

class Reader {
  readonly #text: string;
  readonly #maxDepth: number;
  #position = 0;

  constructor(text: string, maxDepth: number) {
    this.#text = text;
    this.#maxDepth = maxDepth;
  }

  document(): unknown {
    const value = this.#value(0);
    if (this.#position < this.#text.length) this.#fail("unexpected text after the value");
    return value;
  }

  #value(depth: number): unknown {
    this.#match(spacePattern);
    const value = this.#bareValue(depth);
    this.#match(spacePattern);
    return value;
  }

  #bareValue(depth: number): unknown {
    switch (this.#text[this.#position]) {
      case "{":
        return this.#object(depth + 1);
      case "[":
        return this.#array(depth + 1);
      case '"':
        return this.#string();
      case "t":
        return this.#word("true", true);
      case "f":
        return this.#word("false", false);
      case "n":
        return this.#word("null", null);
      default:
        return this.#number();
    }
  }

  #object(depth: number): Record<string, unknown> {
    this.#enter(depth);
    const object: Record<string, unknown> = {};
    if (this.#closes("}")) return object;
    do {
      this.#match(spacePattern);
      const key = this.#string();
      // JSON.parse would keep the last of two equal keys, other readers the first.
      if (Object.hasOwn(object, key)) this.#fail("duplicate key");
      // Assigning it would change the object's prototype instead of adding a member.
      if (key === "__proto__") this.#fail("forbidden key");
      this.#match(spacePattern);
      this.#expect(":");
      object[key] = this.#value(depth);
    } while (this.#continues("}"));
    return object;
  }

  #array(depth: number): unknown[] {
    this.#enter(depth);
    const array: unknown[] = [];
    if (this.#closes("]")) return array;
    do array.push(this.#value(depth));
    while (this.#continues("]"));
    return array;
  }

  #enter(depth: number): void {
    if (depth > this.#maxDepth) this.#fail(`nested deeper than ${this.#maxDepth}`);
    this.#position += 1;
    this.#match(spacePattern);
  }

  #closes(bracket: string): boolean {
    if (this.#text[this.#position] !== bracket) return false;
    this.#position += 1;
    return true;
  }

  #continues(bracket: string): boolean {
    if (this.#closes(bracket)) return false;
    this.#expect(",");
    return true;
  }

  #string(): string {
    const literal = this.#match(stringPattern);
    if (literal === undefined) return this.#fail("expected a string");
    const text = JSON.parse(literal) as string;
    if (!text.isWellFormed()) this.#fail("unpaired surrogate in a string");
    return text;
  }

  #number(): number {
    const literal = this.#match(numberPattern);
    if (literal === undefined) return this.#fail("expected a value");
    const number = Number(literal);
    if (!Number.isFinite(number)) this.#fail("number out of range");
    return number;
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#position)) this.#fail("expected a value");
    this.#position += word.length;
    return value;
  }

  #expect(character: string): void {
    if (this.#text[this.#position] !== character) this.#fail(`expected ${character}`);
    this.#position += 1;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#position;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.#position = pattern.lastIndex;
    return match[0];
  }

  #fail(reason: string): never {
    throw new StrictJsonError(`${reason} at character ${this.#position}`);
  }
}
