/**
 * The Huffman code of HPACK (RFC 7541 section 5.2 and Appendix B). It is canonical: who knows how many bits each
 * symbol has, knows the code. So only lengths are written here: a string's bytes, or ranges of byte values.
 */
const symbolsByLength: readonly (readonly [bits: number, ...symbols: (string | number | [number, number])[]])[] = [
  [5, "012aceiost"],
  [6, " %-./3456789=A_bdfghlmnpru"],
  [7, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"],
  [8, "&*,;XZ"],
  [10, '!"()?'],
  [11, "'+|"],
  [12, "#>"],
  [13, 0, "$@[]~"],
  [14, "^}"],
  [15, "<`{"],
  [19, "\\", 195, 208],
  [20, 128, 130, 131, 162, 184, 194, 224, 226],
  [21, 153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230],
  [22, 129, [132, 134], 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, [185, 187], 189, 190, 196, 198],
  [22, 228, 232, 233],
  [23, 1, 135, [137, 141], 143, 147, [149, 152], 155, 157, 158, 165, 166, 168, 174, 175, 180, 182, 183, 188, 191],
  [23, 197, 231, 239],
  [24, 9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237],
  [25, 199, 207, 234, 235],
  [26, 192, 193, [200, 202], 205, 210, 213, 218, 219, 238, 240, 242, 243, 255],
  [27, 203, 204, 211, 212, 214, [221, 223], 241, [244, 248], [250, 254]],
  [28, [2, 8], 11, 12, [14, 21], [23, 31], 127, 220, 249],
  [30, 10, 13, 22, 256],
];

const END_OF_STRING = 256;

interface Code {
  readonly symbol: number;
  readonly bits: number;
  readonly code: number;
}

/** Symbols of one length in the order of their values, as Appendix B has them. */
function* canonicalCodes(): Generator<Code> {
  let code = 0;
  let previousBits = 5;
  for (const [bits, ...symbols] of symbolsByLength) {
    code *= 2 ** (bits - previousBits);
    previousBits = bits;
    for (const entry of symbols) {
      if (typeof entry === "string") {
        for (const character of entry) yield { symbol: character.charCodeAt(0), bits, code: code++ };
      } else {
        const [first, last] = typeof entry === "number" ? [entry, entry] : entry;
        for (let symbol = first; symbol <= last; symbol++) yield { symbol, bits, code: code++ };
      }
    }
  }
}

/*
 * Decoding goes four bits at a time. A state is a node of the code's tree that is no leaf, 0 the root; for each
 * state and nibble the table has the next state, and the symbol that was completed on the way: no code is shorter
 * than five bits, so there is at most one.
 */
const EMITS = 1 << 16;
const FAILS = 1 << 17;
const transitions = new Int32Array(256 * 16);
/** Whether a string may end in a state: after fewer than eight ones, the beginning of the end-of-string code. */
const mayEnd = new Uint8Array(256);
buildTables();

function buildTables(): void {
  /** Two children of each node: another node, or minus one minus a symbol. */
  const tree: [number, number][] = [[0, 0]];
  for (const { symbol, bits, code } of canonicalCodes()) {
    let node = 0;
    for (let bit = bits - 1; bit > 0; bit--) {
      const side = (code >>> bit) & 1;
      if (tree[node]![side] === 0) tree[node]![side] = tree.push([0, 0]) - 1;
      node = tree[node]![side]!;
    }
    tree[node]![code & 1] = -1 - symbol;
  }
  for (let state = 0; state < tree.length; state++) {
    for (let nibble = 0; nibble < 16; nibble++) transitions[state * 16 + nibble] = transition(tree, state, nibble);
  }
  for (let node = 0, ones = 0; ones < 8; node = tree[node]![1], ones++) mayEnd[node] = 1;
}

function transition(tree: readonly [number, number][], state: number, nibble: number): number {
  let node = state;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const child = tree[node]![(nibble >>> bit) & 1]!;
    if (child === -1 - END_OF_STRING) return FAILS; // section 5.2: an end-of-string inside is an error
    if (child < 0) {
      emitted = EMITS | ((-1 - child) << 8);
      node = 0;
    } else {
      node = child;
    }
  }
  return node | emitted;
}

/**
 * Decodes `source` from `start` to `end` into `target`.
 * @returns how many bytes came out; -1 where this is no Huffman code or more than `target` takes
 */
export function decodeHuffman(source: Buffer, start: number, end: number, target: Buffer): number {
  let state = 0;
  let length = 0;
  for (let at = start; at < end; at++) {
    const byte = source[at]!;
    const first = transitions[state * 16 + (byte >>> 4)]!;
    if (first & EMITS) {
      if (length === target.length) return -1;
      target[length++] = first >>> 8;
    }
    const second = transitions[(first & 0xff) * 16 + (byte & 15)]!;
    if ((first | second) & FAILS) return -1;
    if (second & EMITS) {
      if (length === target.length) return -1;
      target[length++] = second >>> 8;
    }
    state = second & 0xff;
  }
  return mayEnd[state] === 1 ? length : -1;
}
