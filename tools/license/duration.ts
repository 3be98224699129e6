import { z } from "zod";

const units = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const;
const expected = "expected a duration such as 500ms, 30s, 10m, 2h or 7d";

/** `500ms`, `30s`, `10m`, `2h` or `7d` → milliseconds. A bare number is refused: it says nothing about its unit. */
export const durationSchema = z
  .string(expected)
  .regex(/^\d{1,12}(ms|s|m|h|d)$/, expected)
  .transform((text) => Number.parseInt(text, 10) * units[text.replace(/^\d+/, "") as keyof typeof units])
  .pipe(z.int().min(1));
