import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { errorCatalogue } from "../../src/errors.ts";
import { knownAttacks } from "../../tools/dev/known-attacks.ts";

const root = join(import.meta.dirname, "..", "..");
const codes = [
  ...Object.entries(errorCatalogue).flatMap(([code, { status }]) => [code, status]),
  ...["EPERM", "EACCES"], // the kernel's
];

/** `LICENSE_*` stands for a code of that family. */
function isFound(code: string, text: string): boolean {
  const word = code.replace("*", "");
  return codes.some((known) => (word === code ? known === word : known.startsWith(word))) && text.includes(word);
}

test("every code in the list of attacks exists, and is in the file of the test that asserts it", () => {
  const wrong = knownAttacks.filter(({ file, code }) => {
    const text = readFileSync(join(root, file), "utf8");
    return code !== undefined && !code.split(", ").every((each) => isFound(each, text));
  });
  expect(wrong).toEqual([]);
});
