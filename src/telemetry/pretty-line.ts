/** A log record's message and fields for people: `serving address=127.0.0.1:8001 services=ocr,asr`. */
export function prettyLine(record: Readonly<Record<string, unknown>>): string {
  const { level: _level, time: _time, msg, err, ...fields } = record;
  const words = Object.entries(fields).map(([name, value]) => `${name}=${prettyValue(value)}`);
  const parts = [msg, ...words, ...(err === undefined ? [] : [errorWords(err)])];
  const line = escapeControls(parts.filter((part) => part !== undefined).join(" "));
  return `${line}${stackOf(err)}`;
}

function prettyValue(value: unknown): string {
  if (Array.isArray(value) && value.every((each) => typeof each !== "object")) return value.map(prettyValue).join(",");
  if (typeof value === "string" && /^[^\s"=]+$/.test(value)) return value;
  return JSON.stringify(value) ?? String(value);
}

/** As redact() has described it: the code and the words, then what caused it. */
function errorWords(error: unknown): string {
  if (typeof error !== "object" || error === null) return `err=${prettyValue(error)}`;
  const { code, message, cause } = error as Record<string, unknown>;
  const words = [code, message].filter((word) => word !== undefined).join(": ");
  return cause === undefined ? words : `${words}; because ${errorWords(cause)}`;
}

/** Below the line, where the log has one: only for what nobody foresaw. */
function stackOf(error: unknown): string {
  const stack = (error as { stack?: unknown } | undefined)?.stack;
  return typeof stack === "string" ? `\n${stack.split("\n").map(escapeControls).join("\n")}` : "";
}

/** A plugin's words must not steer the terminal, nor look like lines of the server's own. */
function escapeControls(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
