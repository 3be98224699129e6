/**
 * Where an answer differs from what is expected of it; an answer may have more. Numbers and decimal strings are the
 * same, and so are a default and nothing at all, as on the wires.
 */
export function differences(expected: unknown, found: unknown, where = "answer"): string[] {
  if (expected instanceof Uint8Array) {
    const isSame = found instanceof Uint8Array && Buffer.compare(expected, found) === 0;
    return isSame ? [] : [`${where}: expected ${show(expected)}, found ${show(found)}`];
  }
  if (Array.isArray(expected)) {
    const list = Array.isArray(found) ? found : [];
    const isPrefix = where.endsWith(".models") || where.endsWith(".model_stats");
    if (isPrefix ? list.length < expected.length : list.length !== expected.length) {
      return [`${where}: expected ${expected.length} entries, found ${show(found)}`];
    }
    return expected.flatMap((each, index) => differences(each, list[index], `${where}.${index}`));
  }
  if (typeof expected === "object" && expected !== null) {
    const object = typeof found === "object" && found !== null ? (found as Record<string, unknown>) : {};
    return Object.entries(expected).flatMap(([name, each]) => differences(each, object[name], `${where}.${name}`));
  }
  const isDefault = ["", "0", "false", "null"].includes(String(expected));
  if (found === undefined || found === null)
    return isDefault ? [] : [`${where}: expected ${show(expected)}, found none`];
  return String(expected) === String(found) ? [] : [`${where}: expected ${show(expected)}, found ${show(found)}`];
}

function show(value: unknown): string {
  return value instanceof Uint8Array ? `bytes ${Buffer.from(value).toString("hex")}` : JSON.stringify(value);
}
