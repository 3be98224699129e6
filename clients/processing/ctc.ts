/** What was read, and the mean probability of the characters in it (0 where there is none). */
export interface Decoded {
  readonly text: string;
  readonly confidence: number;
}

/**
 * Greedy connectionist temporal classification: the likeliest class of each step, repetitions joined, blanks
 * (class 0) dropped. A blank between two equal classes is what tells "ll" from "l".
 *
 * @param probabilities steps x classes, row-major
 * @param characters the character of each class after the blank; classes - 1 of them
 */
export function decodeGreedyCtc(probabilities: Float32Array, characters: readonly string[]): Decoded {
  const classes = characters.length + 1;
  let text = "";
  let total = 0;
  let count = 0;
  let previous = 0;
  for (let offset = 0; offset + classes <= probabilities.length; offset += classes) {
    let best = 0;
    for (let index = 1; index < classes; index++) {
      if (probabilities[offset + index]! > probabilities[offset + best]!) best = index;
    }
    if (best !== 0 && best !== previous) {
      text += characters[best - 1];
      total += probabilities[offset + best]!;
      count++;
    }
    previous = best;
  }
  return { text, confidence: count === 0 ? 0 : total / count };
}
