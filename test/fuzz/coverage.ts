/**
 * What an input made the product do, as a set of numbers. The first are the instrumented blocks with how often each
 * ran, in powers of two; the others are outcomes: libraries that are not instrumented show themselves in the words
 * of what they refuse.
 */

const MAX_BLOCKS = 1 << 15;
const OUTCOMES = 1 << 16;
const BUCKETS = 16;
/** Refusals that quote what they found are endless. */
const MAX_OUTCOMES = 1024;

/** Counts of the blocks; the instrumented code adds to them under this name. */
export const HITS_NAME = "__fuzzHits";
const hits = new Uint16Array(MAX_BLOCKS);
let blockCount = 0;
const outcomes = new Set<number>();

declare global {
  var __fuzzHits: Uint16Array;
}
globalThis[HITS_NAME] = hits;

/** The number of a new block. */
export function addBlock(): number {
  if (blockCount === MAX_BLOCKS) throw new Error(`more than ${MAX_BLOCKS} blocks to count`);
  return blockCount++;
}

export function blocks(): number {
  return blockCount;
}

/** Forgets what ran since the last call. */
export function resetHits(): void {
  hits.fill(0, 0, blockCount);
}

/** What ran since resetHits, and how it ended. */
export function readFeatures(outcome: string): number[] {
  const features: number[] = [];
  for (let block = 0; block < blockCount; block++) {
    const count = hits[block]!;
    if (count > 0) features.push(block * BUCKETS + (31 - Math.clz32(count)));
  }
  const hash = hashOf(shapeOf(outcome)) % OUTCOMES;
  if (outcomes.size < MAX_OUTCOMES) outcomes.add(hash);
  if (outcomes.has(hash)) features.push(MAX_BLOCKS * BUCKETS + hash);
  return features;
}

/** The features without how often a block ran: what is worth keeping for ever. */
export function withoutCounts(features: Iterable<number>): Set<number> {
  const reached = new Set<number>();
  for (const feature of features) {
    reached.add(feature < MAX_BLOCKS * BUCKETS ? Math.floor(feature / BUCKETS) : feature);
  }
  return reached;
}

/** How many blocks are among the features. */
export function countBlocks(features: Iterable<number>): number {
  return [...withoutCounts(features)].filter((feature) => feature < MAX_BLOCKS).length;
}

/** Words without what differs from input to input, or every number in a message would look like something new. */
function shapeOf(outcome: string): string {
  return outcome
    .replaceAll(/"(?:[^"\\]|\\.)*"/g, '""')
    .replaceAll(/[0-9]+/g, "0")
    .replace(/found .*/s, "found")
    .slice(0, 160);
}

/** FNV-1a */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}
