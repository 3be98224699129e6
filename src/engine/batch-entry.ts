import { SignetError } from "../errors.ts";
import type { Tensor } from "../tensor/index.ts";
import { splitOutputs } from "./batch.ts";
import { Entry, type EntryOwner } from "./entry.ts";
import { verifyRoom, type WrittenInputs, writeInputs } from "./input.ts";
import type { Charge, Job, JobResult } from "./job.ts";

/**
 * Several jobs that run as one. Each keeps its caller, its deadline and its charge; what they share is the slot, the
 * call of native code and the time that this takes.
 */
export class BatchEntry extends Entry {
  readonly #service: string;
  /** Those that may run, in the order of their items. */
  #members: readonly Entry[];

  constructor(service: string, members: readonly Entry[], owner: EntryOwner) {
    const end = {
      succeeded: (result: JobResult) => this.#deliver(result),
      failed: (error: SignetError) => this.#dismiss((member) => member.fail(error)),
    };
    const { priority } = members[0]!;
    super(jobOf(members), end, owner, { priority, queueTimeoutMs: Number.POSITIVE_INFINITY, maxQueueDelayMs: 0 });
    this.#service = service;
    this.#members = members;
    for (const member of members) member.batch = this;
  }

  override get ids(): readonly string[] {
    return this.#members.flatMap(({ ids }) => ids);
  }

  /** Charges each, and lays those that may run side by side. @throws what the last was refused with, where none may */
  override prepare(service: string, slot: Uint8Array): WrittenInputs {
    verifyRoom(service, this.inputs, slot);
    const charges: Charge[] = [];
    let refusal: SignetError | undefined;
    this.#members = this.#members.filter((member) => {
      // Who was refused before it may have taken it along, where both are of one stream.
      if (member.isAnswered) return false;
      try {
        charges.push(member.job.begin());
        return true;
      } catch (error) {
        refusal = SignetError.from(error);
        member.leaveBatch();
        member.fail(refusal);
        return false;
      }
    });
    if (this.#members.length === 0) throw refusal!;
    this.charge = chargeOf(charges);
    const inputs = this.#members.map((member) => member.inputs);
    return writeInputs(inputs, slot);
  }

  override takeTurn(): void {
    super.takeTurn();
    for (const member of this.#members) member.takeTurnWith(this);
  }

  override waitAgain(): readonly Entry[] {
    this.end();
    const waiting = this.#members.filter(({ isAnswered }) => !isAnswered);
    this.#dismiss((member) => {
      if (!member.isAnswered) member.waitAgain();
    });
    return waiting;
  }

  /** A caller was answered before the others. The plugin goes on for those. */
  memberLeft(error: SignetError): void {
    if (this.#members.every(({ isAnswered }) => isAnswered)) this.cancel(error);
  }

  /**
   * What fails for all may be due to one of them, or to their number. One by one each gets what it would have got alone.
   */
  override canRunApart({ code }: SignetError): boolean {
    const isPluginsOwn = code === "PLUGIN_FAILED" || code === "REQUEST_MALFORMED" || code === "OUTPUT_TOO_LARGE";
    return isPluginsOwn && this.#members.length > 1;
  }

  #deliver(result: JobResult): void {
    let parts: ReturnType<typeof splitOutputs>;
    try {
      parts = splitOutputs(this.#service, result.outputs, this.#members);
    } catch (error) {
      result.release();
      this.#dismiss((member) => member.fail(SignetError.from(error)));
      return;
    }
    const sizes = this.#members.map(({ inputs }) => inputs[0]!.shape[0]!);
    const run: SharedRun = { turnMs: this.turnMs, result, size: 0, holders: sizes.length };
    for (const size of sizes) run.size += size;
    // The run counts with the first who hears of it.
    const first = this.#members.findIndex(({ isAnswered }) => !isAnswered);
    this.#dismiss((member, index) => {
      member.succeed(new PartResult(run, member, parts[index]!, sizes[index]!, index === first));
    });
  }

  /** Nothing of the batch concerns its members any more. */
  #dismiss(act: (member: Entry, index: number) => void): void {
    for (const member of this.#members) member.leaveBatch();
    this.#members.forEach(act);
  }
}

/** A run and its result, for as long as one of the members holds it. */
interface SharedRun {
  readonly turnMs: number;
  readonly result: JobResult;
  size: number;
  holders: number;
}

/** What one member gets of the result. */
class PartResult implements JobResult {
  readonly outputs: readonly Tensor[];
  readonly queueMs: number;
  readonly inputMs: number;
  readonly runMs: number;
  readonly outputMs: number;
  readonly items: number;
  readonly runSize: number;
  readonly isFirstOfRun: boolean;
  #run: SharedRun | undefined;

  constructor(run: SharedRun, member: Entry, outputs: readonly Tensor[], items: number, isFirstOfRun: boolean) {
    this.outputs = outputs;
    this.inputMs = run.result.inputMs;
    this.queueMs = Math.max(0, run.turnMs - member.enqueuedMs - this.inputMs);
    this.runMs = run.result.runMs;
    this.outputMs = run.result.outputMs;
    this.items = items;
    this.runSize = run.size;
    this.isFirstOfRun = isFirstOfRun;
    this.#run = run;
  }

  release(): void {
    if (this.#run !== undefined && --this.#run.holders === 0) this.#run.result.release();
    this.#run = undefined;
  }
}

/** What the members are to whom gives turns: it runs while one of them waits for it, and no longer than any of them may. */
function jobOf(members: readonly Entry[]): Job {
  const jobs = members.map(({ job }) => job);
  return {
    inputs: jobs.flatMap(({ inputs }) => inputs),
    priority: members[0]!.priority,
    deadlineMs: Math.max(...jobs.map(({ deadlineMs }) => deadlineMs)),
    queueTimeoutMs: null,
    runLimitMs: Math.min(...jobs.map(({ runLimitMs }) => runLimitMs)),
    begin: () => {
      throw new Error("a batch has no charge of its own");
    },
  };
}

/** Each is charged a run, and the time is that of one: native code runs once. */
function chargeOf(charges: readonly Charge[]): Charge {
  return {
    started: () => charges.forEach((charge, index) => void charge.started(index === 0)),
    ended: () => {
      for (const charge of charges) charge.ended();
    },
    takenBack: () => {
      for (const charge of charges) charge.takenBack();
    },
  };
}
