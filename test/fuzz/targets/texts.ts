import { isDeepStrictEqual } from "node:util";
import { formatPem, PemError, parsePem } from "../../../src/license/pem.ts";
import { parseStrictJson, StrictJsonError } from "../../../src/license/strict-json.ts";
import { mutateBytes } from "../mutate.ts";
import { mutateJson } from "../mutate-json.ts";
import { hold, type Target } from "../target.ts";

/** JSON as signed documents have it: whatever is accepted means the same to JSON.parse. */
export function strictJson(): Target {
  return {
    codes: [],
    starts: ['{"a":[1,-2.5e3,"\\u00e9\\n",true,false,null,{}],"b":{"c":[]}}', " [ 0 ]\n"].map((text) =>
      Buffer.from(text),
    ),
    mutate: mutateJson,
    maxBytes: 1024,
    run(input) {
      let value: unknown;
      try {
        value = parseStrictJson(input);
      } catch (error) {
        if (error instanceof StrictJsonError) return `refused: ${error.message}`;
        throw error;
      }
      hold(isDeepStrictEqual(value, JSON.parse(input.toString())), "strict JSON means what JSON means");
      return "accepted";
    },
  };
}

/** PEM: whatever is accepted has one spelling, but for line ends and empty lines. */
export function pem(): Target {
  return {
    codes: [],
    starts: [
      Buffer.from(formatPem("CERTIFICATE", Buffer.alloc(100, 5)) + formatPem("SIGNET LICENSE", Buffer.from("abc"))),
      Buffer.from(formatPem("A", Buffer.alloc(48)).replaceAll("\n", "\r\n")),
    ],
    mutate: mutateBytes,
    maxBytes: 1024,
    run(input) {
      let blocks: ReturnType<typeof parsePem>;
      try {
        blocks = parsePem(input);
      } catch (error) {
        if (error instanceof PemError) return `refused: ${error.message}`;
        throw error;
      }
      const written = blocks.map(({ label, bytes }) => formatPem(label, bytes)).join("");
      const read = input.toString("latin1").replaceAll("\r\n", "\n").replaceAll(/\n+/g, "\n").replace(/^\n/, "");
      hold(written.trimEnd() === read.trimEnd(), "accepted PEM is written the same way again");
      return "accepted";
    },
  };
}
