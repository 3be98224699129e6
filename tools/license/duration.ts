import { z } from "zod";
import { expectedDuration, parseDuration } from "../../src/cli/index.ts";

/** `500ms`, `30s`, `10m`, `2h` or `7d` → milliseconds. */
export const durationSchema = z
  .string(expectedDuration)
  .refine((text) => parseDuration(text) !== null, expectedDuration)
  .transform((text) => parseDuration(text)!);
