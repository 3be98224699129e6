import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { errorCatalogue } from "../../src/errors.ts";
import { referencePages } from "../../tools/dev/generate-reference.ts";
import { protocolPage } from "../conformance/protocol-page.ts";

test.each(Object.entries(referencePages()))("docs/reference/%s is what the code says", (name, text) => {
  const written = readFileSync(new URL(`../../docs/reference/${name}`, import.meta.url), "utf8");
  expect(written, "run: node tools/dev/generate-reference.ts").toBe(text);
});

test("docs/reference/protocol.md says what the conformance suite tries", () => {
  const written = readFileSync(new URL("../../docs/reference/protocol.md", import.meta.url), "utf8");
  expect(written, "run: node test/conformance/protocol-page.ts").toBe(protocolPage(written));
});

test("every error says what happened and what to do in sentences", () => {
  const unfinished = Object.entries(errorCatalogue).filter(
    ([, { meaning, next }]) => !/[^.]\.$/.test(meaning) || !/[^.]\.$/.test(next),
  );
  expect(unfinished.map(([code]) => code)).toEqual([]);
});
