import { expect, test } from "vitest";
import { redactText } from "./redact-text.ts";

const token = `sgn_abcd1234_${"A".repeat(43)}`;

test.each([
  [`got ${token} from a client`, "got [secret] from a client"],
  [`authorization: Bearer ${token}`, "authorization: [secret]"],
  ["Authorization: Basic dXNlcjpwYXNz", "Authorization: [secret]"],
  ["password=hunter2, next", "password=[secret], next"],
  ['{"passphrase": "two words", "a": 1}', '{"passphrase": [secret], "a": 1}'],
  ["postgresql://signet:hunter2@db/jobs", "postgresql://signet:[secret]@db/jobs"],
  ["CUDA_VISIBLE_DEVICES=GPU-5a4c9c1e-0d9b-4b1e-9a55-1f2e3d4c5b6a", "CUDA_VISIBLE_DEVICES=GPU-[secret]"],
])("what looks like a secret is hidden: %j", (line, shown) => {
  expect(redactText(line)).toBe(shown);
});

test("what is none stays as it is", () => {
  for (const line of ["token count 12", "loaded https://example.com/model", "secretary: Ms. Smith", "12:30:01 ready"]) {
    expect(redactText(line)).toBe(line);
  }
});
