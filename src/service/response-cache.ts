import { createHash, type Hash } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { Tensor } from "../tensor/index.ts";

/** What is asked: all that native code would see, and of which service and version. */
export interface Question {
  readonly service: string;
  readonly version: string;
  /** In the service's order. */
  readonly inputs: readonly Tensor[];
}

/** A question that was looked up. */
export interface Lookup {
  /** What was answered to the same question before, every output; undefined where it was not asked. Never to be written to. */
  readonly outputs: readonly Tensor[] | undefined;
  /** Time it took, what `keep` took included. */
  readonly ms: number;
  /** Remembers what native code answered now, unless the cache was cleared in between. */
  keep(outputs: readonly Tensor[]): void;
}

interface Entry extends Question {
  readonly outputs: readonly Tensor[];
}

/** What an entry takes beside the bytes of its tensors, at most. Also keeps the number of small entries in bounds. */
const ENTRY_BYTES = 1024;

/**
 * Answers of services, for the same questions when they come again: the least recently used go first when the bytes of
 * questions and answers are more than allowed. A digest finds an entry, and its whole question is compared before its
 * answer is given: elsewhere a collision of hashes has given one client the answer to another's question.
 */
export class ResponseCache {
  readonly #entries: LRUCache<string, Entry>;
  readonly #createHash: () => Hash;
  /** Grows when anything is cleared: what was asked before that is not kept after it. */
  #epoch = 0;

  /** @param createHash another digest than SHA-256, for tests of what collides */
  constructor({ maxBytes, createHash: create = () => createHash("sha256") }: ResponseCacheOptions) {
    this.#entries = new LRUCache<string, Entry>({ maxSize: maxBytes, sizeCalculation: sizeOf });
    this.#createHash = create;
  }

  get heldBytes(): number {
    return this.#entries.calculatedSize;
  }

  /** The question's tensors must not change until the answer is kept. */
  look(question: Question): Lookup {
    const startedMs = performance.now();
    const digest = this.#digestOf(question);
    const entry = this.#entries.get(digest);
    const epoch = this.#epoch;
    const lookup = {
      outputs: entry !== undefined && isSame(entry, question) ? entry.outputs : undefined,
      ms: 0,
      keep: (outputs: readonly Tensor[]) => {
        const keptMs = performance.now();
        if (epoch === this.#epoch) this.#keep(digest, { ...question, outputs });
        lookup.ms += performance.now() - keptMs;
      },
    };
    lookup.ms = performance.now() - startedMs;
    return lookup;
  }

  /** Forgets the answers of a service, or of all. */
  clear(service?: string): void {
    this.#epoch++;
    const forgotten = [...this.#entries].filter(([, entry]) => service === undefined || entry.service === service);
    for (const [digest] of forgotten) this.#entries.delete(digest);
  }

  #keep(digest: string, entry: Entry): void {
    if (sizeOf(entry) > this.#entries.maxSize) return;
    const { service, version, inputs, outputs } = entry;
    // Copies of their own: the others are parts of a message, or of memory that is used again.
    this.#entries.set(digest, { service, version, inputs: inputs.map(copy), outputs: outputs.map(copy) });
  }

  #digestOf({ service, version, inputs }: Question): string {
    const hash = this.#createHash();
    hash.update(JSON.stringify([service, version, inputs.map(({ name, datatype, shape }) => [name, datatype, shape])]));
    for (const { data } of inputs) hash.update(data);
    return hash.digest("base64");
  }
}

interface ResponseCacheOptions {
  readonly maxBytes: number;
  readonly createHash?: () => Hash;
}

function sizeOf({ inputs, outputs }: Pick<Entry, "inputs" | "outputs">): number {
  return [...inputs, ...outputs].reduce((sum, { data }) => sum + data.byteLength, ENTRY_BYTES);
}

function isSame(entry: Question, question: Question): boolean {
  return (
    entry.service === question.service &&
    entry.version === question.version &&
    entry.inputs.length === question.inputs.length &&
    entry.inputs.every((input, index) => isSameTensor(input, question.inputs[index]!))
  );
}

function isSameTensor(one: Tensor, other: Tensor): boolean {
  return (
    one.name === other.name &&
    one.datatype === other.datatype &&
    one.shape.length === other.shape.length &&
    one.shape.every((size, axis) => size === other.shape[axis]) &&
    Buffer.compare(one.data, other.data) === 0
  );
}

function copy({ name, datatype, shape, data }: Tensor): Tensor {
  return { name, datatype, shape: [...shape], data: new Uint8Array(data) };
}
