import type { SignetError } from "../errors.ts";
import type { TensorSpec } from "../tensor/index.ts";
import { type BatchLimits, chooseBatch } from "./batch.ts";
import { BatchEntry } from "./batch-entry.ts";
import { Entry, type EntryOwner } from "./entry.ts";
import type { Job, JobEnd } from "./job.ts";
import { Queue } from "./queue.ts";
import { type Priorities, QueuePolicies, type QueuePolicy } from "./queue-policy.ts";

export interface LineOptions extends Pick<QueuePolicy, "maxQueue" | "queueTimeoutMs"> {
  readonly name: string;
  /** Default `reject`. */
  readonly queueTimeoutAction?: QueuePolicy["queueTimeoutAction"];
  /** Default true. */
  readonly allowTimeoutOverride?: boolean;
  /** Default: any number is a priority. */
  readonly priorities?: Priorities;
  /** Default null: each job runs alone. */
  readonly batching?: BatchLimits | null;
  /** Room for the tensors of one run. */
  readonly slotBytes: number;
  readonly outputs: readonly TensorSpec[];
}

const noLevels: Priorities = { levels: 0, default: 0, queues: {} };

/**
 * The jobs that wait for a service, and which of them run next: one, or several as one. Where jobs run together, the
 * first of them waits until the events that are there now have been seen to, since others may be among them.
 */
export class Line {
  readonly #name: string;
  readonly #batching: BatchLimits | null;
  /** For the inputs of a batch; as much is left for each of its outputs. */
  readonly #batchBytes: number;
  readonly #onDue: () => void;
  readonly #queue = new Queue<Entry>();
  readonly #policies: QueuePolicies;
  #chosen: readonly Entry[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isLookDue = false;

  /** @param onDue jobs that were kept for others are to run now */
  constructor(options: LineOptions, onDue: () => void) {
    const { queueTimeoutAction = "reject", allowTimeoutOverride = true, priorities = noLevels } = options;
    this.#name = options.name;
    this.#batching = options.batching ?? null;
    this.#batchBytes = options.slotBytes / (1 + options.outputs.length);
    this.#onDue = onDue;
    this.#policies = new QueuePolicies({ ...options, queueTimeoutAction, allowTimeoutOverride }, priorities);
  }

  get length(): number {
    return this.#queue.length;
  }

  get isBatching(): boolean {
    return this.#batching !== null;
  }

  /** How many of a job's priority may wait, where that is exceeded; undefined where it is not. */
  exceededLimit(job: Job): number | undefined {
    const priority = this.#policies.priorityOf(job.priority);
    const { maxQueue } = this.#policies.of(priority);
    return this.#policies.isOwn(priority) && this.#queue.lengthOf(priority) >= maxQueue ? maxQueue : undefined;
  }

  /** A job comes and waits. @param owner looks after it from now on */
  enter(job: Job, end: JobEnd, owner: EntryOwner): Entry {
    const priority = this.#policies.priorityOf(job.priority);
    const entry = new Entry(job, end, owner, {
      priority,
      queueTimeoutMs: this.#policies.timeoutMs(priority, job.queueTimeoutMs),
      maxQueueDelayMs: this.#batching?.maxQueueDelayMs ?? 0,
    });
    this.#queue.push(entry);
    return entry;
  }

  /** It has waited as long as it may. @returns whether it goes on waiting all the same */
  delay(entry: Entry): boolean {
    if (this.#policies.of(entry.priority).queueTimeoutAction === "reject") return false;
    if (this.#queue.remove(entry)) {
      entry.isDelayed = true;
      this.#queue.push(entry);
    }
    return true;
  }

  remove(entry: Entry): void {
    this.#queue.remove(entry);
  }

  /** Lets jobs that had their turn wait again, in their order and before all others of their priority. */
  putBack(entries: readonly Entry[]): void {
    for (const entry of entries.toReversed()) this.#queue.putBack(entry);
  }

  /** Decides what runs next. @returns bytes of its inputs; undefined where nothing waits, or it is kept for others */
  choose(): number | undefined {
    const first = this.#queue.peek();
    if (first === undefined) return undefined;
    if (this.#batching === null) return first.bytes;
    const { requests, dueMs } = chooseBatch(this.#queue, this.#batching, this.#batchBytes);
    this.#chosen = requests;
    const leftMs = dueMs - performance.now();
    if (leftMs > 0) {
      this.#lookIn(leftMs);
      return undefined;
    }
    return requests.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** What was chosen last waits no more. @param owner looks after it, where several jobs become one */
  takeChosen(owner: EntryOwner): Entry {
    if (!this.isBatching) return this.#queue.shift()!;
    this.#queue.removeAll(this.#chosen);
    return new BatchEntry(this.#name, this.#chosen, owner);
  }

  /** Has `onDue` called when the events that are there now have been seen to. */
  lookSoon(): void {
    if (this.#isLookDue) return;
    this.#isLookDue = true;
    setImmediate(this.#look);
  }

  /** Nothing waits any more. */
  rejectAll(error: SignetError): void {
    for (const entry of this.#queue.clear()) {
      entry.end();
      entry.fail(error);
    }
  }

  readonly #look = (): void => {
    this.#isLookDue = false;
    this.#onDue();
  };

  /** A timer counts in whole milliseconds; what is less is waited for event by event. */
  #lookIn(ms: number): void {
    if (ms < 1) {
      this.lookSoon();
      return;
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#onDue();
    }, Math.floor(ms)).unref();
  }
}
