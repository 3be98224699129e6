import { Random } from "../helpers/seeded-random.ts";
import { blocks, countBlocks, readFeatures, resetHits, withoutCounts } from "./coverage.ts";
import type { MutationSource } from "./mutate.ts";
import { type Outcome, type Target, tryInput } from "./target.ts";

export interface Finding {
  readonly words: string;
  readonly input: Buffer;
}

/** What one target has come to. */
export interface Progress {
  executions: number;
  accepted: number;
  /** Blocks of the product that ran since the input was handed over, of those that were loaded. */
  blocks: number;
  allBlocks: number;
  /** Inputs that did what none before did. */
  kept: number;
}

interface Kept {
  readonly input: Buffer;
  readonly features: readonly number[];
}

/** An execution that took more of the processor than this, three times, is a finding. */
const SLOW_MS = 250;
/** Resident memory beyond this is one, too: inputs are a few KiB. */
const MAX_RSS_BYTES = 1024 ** 3;
const MEMORY_EVERY = 1024;
/** How often what the product put off, to the next turn of the event loop, gets its turn. */
const TURN_EVERY = 64;
/** What an input of no bytes would count as, where short inputs are preferred. */
const WORTH_BYTES = 64;

/**
 * Coverage-guided fuzzing of one target: inputs that reach blocks, or a number of times through one, or words of a
 * refusal, which none before them reached are kept and changed further.
 */
export class Fuzzer {
  readonly findings: Finding[] = [];
  readonly #target: Target;
  readonly #source: MutationSource;
  /** Told of every input before it runs, in case the target never comes back. */
  readonly #announce: (input: Buffer) => void;
  readonly #kept: Kept[] = [];
  readonly #acceptedInputs: Kept[] = [];
  readonly #seen = new Set<number>();
  readonly #found = new Set<string>();
  #executions = 0;
  #accepted = 0;

  constructor(
    target: Target,
    options: { seed: number; words?: readonly string[]; announce?: (input: Buffer) => void },
  ) {
    const random = new Random(options.seed);
    this.#target = target;
    this.#announce = options.announce ?? (() => undefined);
    this.#source = {
      random,
      words: options.words ?? [],
      other: () => (this.#kept.length === 0 ? Buffer.alloc(0) : random.pick(this.#kept).input),
    };
  }

  get progress(): Progress {
    return {
      executions: this.#executions,
      accepted: this.#accepted,
      blocks: countBlocks(this.#seen),
      allBlocks: blocks(),
      kept: this.#kept.length,
    };
  }

  /** Runs an input as it is. */
  async try(input: Buffer): Promise<void> {
    this.#announce(input);
    resetHits();
    const started = performance.now();
    const outcome = await tryInput(this.#target, input);
    const features = readFeatures(outcome.words);
    this.#executions++;
    const isAccepted = outcome.kind === "accepted" && outcome.words.startsWith("accepted");
    if (isAccepted) this.#accepted++;
    if (outcome.kind === "finding") await this.#report(outcome, input);
    if (performance.now() - started > SLOW_MS && (await this.#isSlow(input))) {
      this.#find({ words: `takes more than ${SLOW_MS} ms`, input });
    }
    if (this.#executions % TURN_EVERY === 0) await new Promise(setImmediate);
    if (this.#executions % MEMORY_EVERY === 0 && process.memoryUsage.rss() > MAX_RSS_BYTES) {
      this.#find({ words: `memory has grown beyond ${MAX_RSS_BYTES} bytes`, input });
    }
    if (outcome.kind !== "finding" && features.some((feature) => !this.#seen.has(feature))) {
      for (const feature of features) this.#seen.add(feature);
      const kept = { input, features };
      this.#kept.push(kept);
      if (isAccepted) this.#acceptedInputs.push(kept);
    }
  }

  /** Changes a kept input and runs it. */
  async step(): Promise<void> {
    const { random, other } = this.#source;
    // What was accepted is closest to what lies deepest; what is new leads on; the others for chance.
    const parent = [() => random.pick(this.#acceptedInputs)?.input, () => this.#recent(), other][random.below(3)]!();
    const child = this.#target.mutate(parent ?? other(), this.#source);
    await this.try(child.subarray(0, this.#target.maxBytes));
  }

  /** A few short inputs that do much of what was seen: again and again the one that adds most for its length. */
  bestInputs(limits: { count: number; bytes: number }): Buffer[] {
    const kept = this.#kept.map(({ input, features }) => ({ input, features: withoutCounts(features) }));
    const missing = withoutCounts(this.#seen);
    const worthOf = ({ input, features }: (typeof kept)[number]) =>
      [...features].filter((feature) => missing.has(feature)).length / (WORTH_BYTES + input.length);
    const best: Buffer[] = [];
    let bytes = 0;
    while (best.length < limits.count) {
      const ranked = kept.map((each) => ({ ...each, worth: worthOf(each) }));
      const fitting = ranked.filter(({ input, worth }) => worth > 0 && bytes + input.length <= limits.bytes);
      if (fitting.length === 0) break;
      const { input, features } = fitting.reduce((a, b) => (b.worth > a.worth ? b : a));
      for (const feature of features) missing.delete(feature);
      best.push(input);
      bytes += input.length;
    }
    return best;
  }

  #recent(): Buffer {
    const { random } = this.#source;
    const last = Math.min(this.#kept.length, 16);
    return this.#kept[this.#kept.length - 1 - random.below(last)]?.input ?? Buffer.alloc(0);
  }

  /** Measured again, and not by the clock on the wall: the machine may have been busy with something else. */
  async #isSlow(input: Buffer): Promise<boolean> {
    for (let round = 0; round < 3; round++) {
      const before = process.threadCpuUsage();
      await tryInput(this.#target, input);
      const { user, system } = process.threadCpuUsage(before);
      if ((user + system) / 1000 <= SLOW_MS) return false;
    }
    return true;
  }

  async #report(outcome: Outcome, input: Buffer): Promise<void> {
    const shape = shapeOf(outcome.words);
    if (this.#found.has(shape)) return;
    this.#found.add(shape);
    this.#find({ words: outcome.words, input: await this.#shorten(input, shape) });
  }

  #find(finding: Finding): void {
    if (this.findings.length < 20) this.findings.push(finding);
  }

  /** Takes parts out while the same thing happens. */
  async #shorten(input: Buffer, shape: string): Promise<Buffer> {
    let shortest = input;
    for (let part = input.length >> 1; part > 0; part >>= 1) {
      for (let at = 0; at + part <= shortest.length; ) {
        const shorter = Buffer.concat([shortest.subarray(0, at), shortest.subarray(at + part)]);
        const { kind, words } = await tryInput(this.#target, shorter);
        if (kind === "finding" && shapeOf(words) === shape) shortest = shorter;
        else at += part;
      }
    }
    return shortest;
  }
}

/** Two findings with the same words but for numbers are one. */
function shapeOf(words: string): string {
  return words.replaceAll(/[0-9]+/g, "0").slice(0, 120);
}
