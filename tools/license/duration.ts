import { z } from "zod";
import { durationExamples, parseDuration } from "../../src/cli/index.ts";

/** `500ms`, `30s`, `10m`, `2h` or `7d` → milliseconds. */
export const durationSchema = z
  .string(`expected ${durationExamples}`)
  .refine((text) => parseDuration(text) !== null, `expected ${durationExamples}`)
  .transform((text) => parseDuration(text)!);
