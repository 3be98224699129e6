import { isMap, isNode, isScalar, LineCounter, parseDocument, type YAMLError } from "yaml";
import { type ErrorCode, SignetError } from "../errors.ts";

export interface YamlContent {
  readonly value: unknown;
  /** `FILE:LINE` of a value, or of the nearest above it: a missing key has no line of its own. */
  placeOf(path: readonly PropertyKey[]): string;
}

/**
 * Reads YAML that people wrote: one document, every key once, no tags, no aliases.
 * @throws `code`, with file and line
 */
export function parseYaml(text: string, file: string, code: ErrorCode): YamlContent {
  const lines = new LineCounter();
  // Without its log level the library would tell the terminal what the schema refuses anyway.
  const options = {
    lineCounter: lines,
    uniqueKeys: true,
    strict: true,
    prettyErrors: false,
    logLevel: "error",
  } as const;
  const document = parseDocument(text, options);
  const placeAt = (offset: number) => `${file}:${lines.linePos(offset).line}`;
  const fault = document.errors[0] ?? document.warnings[0];
  if (fault !== undefined) throw new SignetError(code, `${placeAt(fault.pos[0])}: ${wordsOf(fault)}`);
  let value: unknown;
  try {
    // Nested aliases of a few hundred bytes can unfold into gigabytes.
    value = document.toJS({ maxAliasCount: 0 });
  } catch (cause) {
    throw new SignetError(code, `${file}: aliases (*name) are not allowed`, { cause });
  }
  return {
    value,
    placeOf(path) {
      for (let length = path.length; length > 0; length--) {
        const key = path[length - 1];
        const parent = document.getIn(path.slice(0, length - 1), true);
        // The key's line, not the value's: a group of keys begins on the line after.
        const pair = isMap(parent)
          ? parent.items.find((each) => isScalar(each.key) && each.key.value === key)
          : undefined;
        const node = pair?.key ?? document.getIn(path.slice(0, length), true);
        if (isNode(node) && node.range) return placeAt(node.range[0]);
      }
      return file;
    },
  };
}

function wordsOf({ code, message }: YAMLError): string {
  // The library calls a bracket that nothing closes an indentation that is wrong.
  const bracket = /^Flow .* end with a ([\]}])$/.exec(message)?.[1];
  if (bracket !== undefined) return `expected ${bracket} to close what was opened before, found none`;
  return words[code] ?? `not readable as YAML: ${message.slice(0, 1).toLowerCase()}${message.slice(1)}`;
}

/** For what people get wrong most. */
const words: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: "the same key is written twice",
  TAB_AS_INDENT: "expected spaces at the start of the line, found a tab",
  BLOCK_AS_IMPLICIT_KEY: 'expected one "key: value" on the line, found more; text with a colon in it needs quotes',
  MULTILINE_IMPLICIT_KEY: 'expected "key: value", found a line without a colon and a space',
  MISSING_CHAR: "expected a quote to close what was opened before, found none",
  BAD_INDENT: "expected the same indentation as in the lines before",
  MULTIPLE_DOCS: "expected one document, found a second after ---",
  TAG_RESOLVE_FAILED: "tags (!name) are not allowed",
};
