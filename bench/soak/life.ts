import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { childrenOf, isAlive } from "../../test/helpers/processes.ts";
import type { Random } from "../../test/helpers/seeded-random.ts";
import type { Books, LifeEnd, ServiceAccount } from "./books.ts";
import { countOf } from "./books.ts";
import type { Clients } from "./clients.ts";
import type { Target } from "./connection.ts";
import type { SoakDesk } from "./desk.ts";
import { type DisturbanceName, disturbances, drawDisturbance } from "./disturbances.ts";
import type { LifePlan } from "./plan.ts";
import { readDescriptors } from "./processes.ts";
import { ServerLife } from "./server-life.ts";
import type { Verdict } from "./verdict.ts";

/** What lasts from life to life. */
export interface Stage {
  readonly directory: string;
  readonly desk: SoakDesk;
  readonly books: Books;
  readonly clients: Clients;
  readonly verdict: Verdict;
  readonly random: Random;
  /** Between two disturbances, s. */
  readonly calmS: readonly [least: number, most: number];
  /** What disturbs before chance decides. */
  readonly opening: DisturbanceName[];
  readonly disturbed: Map<DisturbanceName, number>;
  /** Remembers an event for a later look. */
  note(event: object): void;
}

export interface LifeReport extends LifePlan {
  readonly life: number;
  readonly calls: number;
  readonly answered: number;
  readonly lost: number;
  readonly accounts: readonly ServiceAccount[];
}

const PATIENCE_S = 60;
/** What is expected in the log at level error: a service's process ended, by itself or because a job would not stop. */
const EXPECTED_ERROR = /^the service's process ended \((SERVICE_\w+|CANCELLED|DEADLINE_EXCEEDED|JOB_TIME_EXCEEDED)\)$/;

/** One life of the server: it starts, serves while it is disturbed, ends, and its books are closed. */
export class Life {
  readonly number: number;
  readonly server: ServerLife;
  readonly #stage: Stage;
  readonly #plan: LifePlan;
  readonly #targetAt: (address: string) => Target;
  #atRest: { all: number; memory: number } | null = null;

  constructor(number: number, plan: LifePlan, stage: Stage) {
    this.number = number;
    this.#plan = plan;
    this.#stage = stage;
    this.#targetAt = stage.desk.configure(plan.security);
    this.server = new ServerLife(stage.desk.data.root, join(stage.directory, "server.log"));
  }

  /** Resolves when the server serves. */
  async start(): Promise<Target> {
    const { desk, verdict } = this.#stage;
    const authorized = this.server.logged(({ msg }) => msg === "first authorization passed");
    const serving = await this.server.logged(({ msg }) => msg === "serving");
    if (serving === null) throw new Error(`the server did not start: ${this.server.lastLine}`);
    const { sequence } = (await authorized)!;
    verdict.expect("a start finds the license that was installed last", sequence === desk.sequence, () =>
      this.#found(`sequence ${sequence}, installed ${desk.sequence}`),
    );
    return this.#targetAt(String(serving.address));
  }

  /** Lets the clients work and disturbs the server until its time is over; then ends it. */
  async run(target: Target): Promise<LifeReport> {
    const { clients, random } = this.#stage;
    clients.work(target);
    const over = new AbortController();
    const disturbing = this.#disturb(target, over.signal);
    await Promise.race([sleep(this.#plan.seconds * 1000), this.server.ended]);
    over.abort();
    // Half of the ends come into the middle of a renewal or whatever else goes on.
    if (random.chance(0.5)) await disturbing;
    const endingMs = Date.now();
    await this.#end(this.#plan.end);
    const lostMs = await clients.rest();
    await disturbing;
    this.#verifyCutOff(lostMs, endingMs);
    return await this.#closeBooks();
  }

  async #disturb(target: Target, over: AbortSignal): Promise<void> {
    const { calmS, desk, books, random, verdict, opening, disturbed, note } = this.#stage;
    for (;;) {
      await sleep(random.between(...calmS) * 1000, undefined, { signal: over }).catch(() => {});
      if (over.aborted || this.server.isEnding) return;
      const name = opening.shift() ?? drawDisturbance(random);
      note({ disturbance: name });
      const scene = {
        ...{ server: this.server, desk, runLog: books.runLog, random, verdict },
        usesTls: this.#plan.security !== "none",
        breathe: () => this.#breathe(target),
      };
      const failure = await disturbances[name](scene).then(
        () => null,
        (error: Error) => error.message,
      );
      verdict.expect("every command beside the server succeeds", failure === null, () =>
        this.#found(`${name}: ${failure}`),
      );
      disturbed.set(name, (disturbed.get(name) ?? 0) + 1);
    }
  }

  /** All calls have ended and all connections are closed: what is open now stays open. */
  async #breathe(target: Target): Promise<void> {
    const { clients, verdict, note } = this.#stage;
    const { server } = this;
    const lostMs = await clients.rest();
    if (!server.isEnding) this.#verifyCutOff(lostMs, Number.POSITIVE_INFINITY);
    const first = this.#atRest;
    const read = () => readDescriptors(server.pid);
    const isStill = () => first === null || (read().all <= first.all && read().memory <= first.memory);
    await sleep(1000);
    await waitUntil(() => isStill() || server.isEnding);
    if (server.isEnding) return;
    const now = read();
    note({ atRest: now });
    verdict.expect("at rest a server has no more files and memory files open than it first had", isStill(), () =>
      this.#found(`${JSON.stringify(now)}, first ${JSON.stringify(first)}`),
    );
    this.#atRest ??= now;
    clients.work(target);
  }

  /** A call may have been cut off only if the server was told to end before. */
  #verifyCutOff(firstLostMs: number | null, endingMs: number): void {
    this.#stage.verdict.expect(
      "calls are cut off only after their server was told to end",
      firstLostMs === null || firstLostMs >= endingMs,
      () => this.#found(`${endingMs - firstLostMs!} ms before`),
    );
  }

  async #end(how: LifeEnd): Promise<void> {
    const { verdict } = this.#stage;
    const { server } = this;
    const hosts = childrenOf(server.pid);
    server.isEnding = true;
    server.kill(how);
    const exit = await server.ended;
    verdict.expect("a server ends when it is told to, and only then", exit === (how === "SIGTERM" ? 0 : how), () =>
      this.#found(`${how} gave ${exit}; ${server.lastLine}`),
    );
    await waitUntil(() => !hosts.some(isAlive));
    verdict.expect("service hosts end with their server", !hosts.some(isAlive), () =>
      this.#found(hosts.filter(isAlive).join(", ")),
    );
    for (const [words, count] of server.errors) {
      verdict.expect("the server's log has no error but those of plugins", EXPECTED_ERROR.test(words), () =>
        this.#found(`${words}, ${count} times`),
      );
    }
  }

  async #closeBooks(): Promise<LifeReport> {
    const { books, clients } = this.#stage;
    const tally = clients.takeTally();
    const accounts = await books.close(`life ${this.number}`, this.#plan.end, tally);
    const count = (ending: string) => countOf(tally, "*", "*", ending);
    const report = {
      ...{ ...this.#plan, life: this.number, accounts },
      ...{ calls: count("*"), answered: count("answered"), lost: count("lost") },
    };
    this.#stage.note({ ended: report });
    return report;
  }

  #found(words: string): string {
    return `life ${this.number}: ${words}`;
  }
}

/** Waits for something to become so, but not for ever. */
async function waitUntil(isSo: () => boolean): Promise<void> {
  for (let tenths = 0; tenths < PATIENCE_S * 10 && !isSo(); tenths++) await sleep(100);
}
