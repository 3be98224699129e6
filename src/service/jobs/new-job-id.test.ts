import { expect, test } from "vitest";
import { newLastingJobId } from "./new-job-id.ts";

test("ids are UUIDs of version 7 that sort as they were made, also when the clock goes back", () => {
  const now = Date.now();
  const ids = Array.from({ length: 20_000 }, (_, n) => newLastingJobId(now - (n % 3)));
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect([...ids].sort()).toEqual(ids);
  expect(new Set(ids).size).toBe(ids.length);
});
