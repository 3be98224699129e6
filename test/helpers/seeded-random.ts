export interface Random {
  /** An integer of 0 or more, below `limit`; 0 for a limit of 0. */
  below(limit: number): number;
  pick<T>(choices: readonly T[]): T;
}

/** The same numbers for the same seed, 0 or more. */
export function randomFrom(seed: number): Random {
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
