import { onTestFailed } from "vitest";

export interface Random {
  /** An integer of 0 or more, below `limit`; 0 for a limit of 0. */
  below(limit: number): number;
  pick<T>(choices: readonly T[]): T;
}

/** Random numbers for a property test. The seed is printed when it fails; SIGNET_TEST_SEED brings it back. */
export function useRandom(): Random {
  const seed = Number(process.env.SIGNET_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  onTestFailed(() => console.error(`to see this again: SIGNET_TEST_SEED=${seed}`));
  let state = seed || 1;
  // xorshift32
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  const below = (limit: number) => (limit <= 0 ? 0 : next() % limit);
  return { below, pick: (choices) => choices[below(choices.length)]! };
}
