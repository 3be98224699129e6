import { onTestFailed } from "vitest";
import { Random } from "./seeded-random.ts";

export type { Random };

/** Random numbers for a property test. The seed is printed when it fails; SIGNET_TEST_SEED brings it back. */
export function useRandom(): Random {
  const seed = Number(process.env.SIGNET_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  onTestFailed(() => console.error(`to see this again: SIGNET_TEST_SEED=${seed}`));
  return new Random(seed);
}
