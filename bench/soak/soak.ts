import { createWriteStream, mkdirSync, type WriteStream } from "node:fs";
import { join } from "node:path";
import { Random } from "../../test/helpers/seeded-random.ts";
import { Books } from "./books.ts";
import { addTally, Clients, type Load } from "./clients.ts";
import { SoakDesk } from "./desk.ts";
import { type DisturbanceName, opening } from "./disturbances.ts";
import { Life, type LifeReport, type Stage } from "./life.ts";
import { type LifePlan, planLives } from "./plan.ts";
import type { Surprise, Tally } from "./protocol.ts";
import { type Growth, growthOf, kibOf, type Sample, takeSample } from "./sampler.ts";
import { Verdict } from "./verdict.ts";

export interface SoakOptions {
  readonly seconds: number;
  readonly seed: number;
  /** For the vendor, the host, the server's log and the events; made if need be. */
  readonly directory: string;
  readonly load: Load;
  /** Between two disturbances, s. */
  readonly calmS: readonly [least: number, most: number];
  readonly say: (words: string) => void;
}

export interface SoakReport {
  readonly verdict: Verdict;
  readonly lives: readonly LifeReport[];
  readonly tally: Tally;
  readonly disturbed: ReadonlyMap<DisturbanceName, number>;
  /** What clients counted, by the second in which they told. */
  readonly tallies: readonly { readonly atS: number; readonly tally: Tally }[];
  readonly samples: readonly Sample[];
  readonly growth: Growth | null;
  /** Lines of the levels error and fatal in the server's log. */
  readonly errors: ReadonlyMap<string, number>;
  readonly ledgerKiB: number;
  readonly auditKiB: number;
}

const SAMPLE_MS = 2000;
const STILL_MIB = 64;
/** A shorter life says nothing about growth. */
const JUDGED_MIN = 4;

/** What holds for every single call; clients say where it does not. */
const callInvariants: Readonly<Record<Surprise["kind"], string>> = {
  "wrong answer": "every answer is right to the last byte",
  "wrong ending": "every call ends in an answer, a refusal that fits it, or because its server was ended",
  "no ending": "no call hangs",
};

/** Serves, disturbs, kills, starts again, and counts. */
export class Soak {
  readonly #options: SoakOptions;
  readonly #stage: Stage;
  readonly #events: WriteStream;
  readonly #startedMs = performance.now();
  readonly #samples: Sample[] = [];
  readonly #tallies: { atS: number; tally: Tally }[] = [];
  readonly #errors = new Map<string, number>();
  readonly #lives: LifeReport[] = [];
  #life: Life | undefined;

  constructor(options: SoakOptions) {
    const { directory, seed, calmS } = options;
    this.#options = options;
    mkdirSync(directory, { recursive: true });
    this.#events = createWriteStream(join(directory, "events.jsonl"));
    const verdict = new Verdict();
    const desk = new SoakDesk(join(directory, "host"));
    this.#stage = {
      ...{ directory, desk, verdict, calmS, opening: [...opening], disturbed: new Map() },
      books: new Books(desk, verdict),
      clients: new Clients((tally) => this.#tallies.push({ atS: this.#atS(), tally })),
      random: new Random(seed),
      note: (event) => this.#events.write(`${JSON.stringify({ atS: this.#atS(), ...event })}\n`),
    };
  }

  async run(): Promise<SoakReport> {
    const { desk, clients, random } = this.#stage;
    const { seconds } = this.#options;
    const sampling = setInterval(() => this.#sample(), SAMPLE_MS);
    try {
      await desk.setUp();
      const plans = planLives(seconds, random);
      const [first, last] = [plans[0], plans.at(-1)!];
      const endS = this.#atS() + seconds;
      for (const plan of plans) {
        // Starts and stops take time too: what no longer fits is left out, but for the kill and the end in order.
        if (plan === first || plan === last || this.#atS() + last.seconds < endS) await this.#live(plan);
      }
    } finally {
      clearInterval(sampling);
      if (this.#life?.server.isEnding === false) this.#life.server.kill("SIGKILL");
      await clients.end();
      this.#events.end();
    }
    await this.#verifyEnd();
    return this.#report();
  }

  async #live(plan: LifePlan): Promise<void> {
    const { clients, desk, random, verdict } = this.#stage;
    const life = new Life(this.#lives.length + 1, plan, this.#stage);
    this.#life = life;
    const target = await life.start();
    if (!clients.areStarted) {
      await clients.start(this.#options.load, desk, target, random, (surprise) => this.#surprise(surprise));
    }
    this.#options.say(`life ${life.number}: ${plan.seconds} s over ${plan.security}, then ${plan.end}`);
    const report = await life.run(target);
    this.#lives.push(report);
    for (const invariant of Object.values(callInvariants)) verdict.passed(invariant, report.calls);
    for (const [words, count] of life.server.errors) this.#errors.set(words, (this.#errors.get(words) ?? 0) + count);
  }

  async #verifyEnd(): Promise<void> {
    const { desk, verdict } = this.#stage;
    const failure = await desk.signet("audit", "verify").then(
      () => null,
      (error: Error) => error.message,
    );
    verdict.expect("at the end the audit log is whole", failure === null, () => `${failure}`);
    const growth = growthOf(this.#samples);
    if (growth === null || growth.minutes < JUDGED_MIN) return;
    verdict.expect(
      `the gateway's memory stands still: it grows by no more than ${STILL_MIB} MiB after its warm-up`,
      growth.mib <= STILL_MIB,
      () => JSON.stringify(growth),
    );
  }

  #report(): SoakReport {
    const { verdict, disturbed, desk } = this.#stage;
    const tally: Tally = {};
    for (const part of this.#tallies) addTally(tally, part.tally);
    return {
      ...{ verdict, lives: this.#lives, tally, disturbed, errors: this.#errors, tallies: this.#tallies },
      ...{ samples: this.#samples, growth: growthOf(this.#samples) },
      ...{ ledgerKiB: kibOf(desk.data.ledgerDir), auditKiB: kibOf(desk.data.auditDir) },
    };
  }

  #surprise({ kind, words }: Surprise): void {
    const { verdict, note } = this.#stage;
    note({ surprise: kind, words });
    verdict.expect(callInvariants[kind], false, () => `life ${this.#life?.number}: ${words}`);
  }

  #sample(): void {
    const life = this.#life;
    if (!life || life.server.isEnding) return;
    const { desk, verdict, note } = this.#stage;
    const sample = takeSample(life.server.pid, life.number, this.#startedMs, desk.data);
    if (sample === null) return;
    const zombies = sample.zombies.filter((pid) => this.#samples.at(-1)?.zombies.includes(pid));
    verdict.expect("a server leaves no zombies", zombies.length === 0, () => `life ${life.number}: ${zombies}`);
    verdict.expect("nobody has a file in /dev/shm open", sample.namedMemory === 0, () => `life ${life.number}`);
    this.#samples.push(sample);
    note({ sample });
  }

  /** Since the soak began, s. */
  #atS(): number {
    return Math.round((performance.now() - this.#startedMs) / 100) / 10;
  }
}
