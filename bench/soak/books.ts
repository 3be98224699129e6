import { openHostKey } from "../../src/license/index.ts";
import { readHostLedger } from "../../src/service/index.ts";
import { type ServiceName, type SoakDesk, services } from "./desk.ts";
import type { Tally } from "./protocol.ts";
import { add, type LoggedJobs, RunLogReader } from "./run-log-reader.ts";
import type { Verdict } from "./verdict.ts";

/** How a server's life ended. */
export type LifeEnd = "SIGKILL" | "SIGTERM";

/** One life's runs of one service, counted three times: by the ledger, in the run log, and by the clients. */
export interface ServiceAccount {
  readonly service: ServiceName;
  /** Runs that the ledger charged in this life, what it had leased at the end included. */
  readonly charged: number;
  /** Debited in advance when the server was killed, and charged by the next start. 0 after an orderly stop. */
  readonly leased: number;
  /** Charged lines of the run log: answered, failed in native code, and given up by the caller while they ran. */
  readonly logged: number;
  readonly answered: number;
  readonly failed: number;
  readonly givenUp: number;
  /** Calls that clients made and the run log has no line of: it was cut off, or they never got that far. */
  readonly unlogged: number;
}

/** Outcomes that only a job has that had begun, and those that none has. */
const begun = new Set([
  ...["OK", "PLUGIN_FAILED", "OUTPUT_TOO_LARGE", "SERVICE_CRASHED", "SERVICE_PROTOCOL", "SERVICE_OUT_OF_MEMORY"],
  ...["SERVICE_UNRESPONSIVE", "JOB_TIME_EXCEEDED"],
]);
const neverBegun = new Set(["REQUEST_MALFORMED", "QUEUE_FULL", "LICENSE_RUNS_EXHAUSTED", "SERVICE_NOT_READY"]);
const givenUp = new Set(["CANCELLED", "DEADLINE_EXCEEDED"]);
/** How calls end that never come as far as the run log. */
const unlogged = new Set(["UNAUTHENTICATED", "PERMISSION_DENIED", "RATE_LIMITED", "REQUEST_TOO_LARGE"]);

interface Charged {
  readonly runs: number;
  readonly leased: number;
  readonly runTimeMs: number;
}

/** Closes the books after each life: what the ledger charged must be what the run log and the clients say. */
export class Books {
  readonly runLog: RunLogReader;
  readonly #desk: SoakDesk;
  readonly #verdict: Verdict;
  readonly #pluginMs = new Map<string, number>();
  #before: ReadonlyMap<ServiceName, Charged> = new Map();

  constructor(desk: SoakDesk, verdict: Verdict) {
    this.#desk = desk;
    this.#verdict = verdict;
    this.runLog = new RunLogReader(desk.data.runLogFile);
  }

  async close(life: string, end: LifeEnd, tally: Tally): Promise<ServiceAccount[]> {
    const jobs = await this.runLog.readOn();
    const after = await this.#readLedger();
    this.#verifyOutcomes(life, end, jobs);
    this.#verifyPatients(life, end, jobs, tally);
    const accounts = services.map((service) => {
      const account = this.#account(service, jobs, tally, after.get(service)!);
      this.#verifyAccount(life, end, account, countOf(tally, "*", service, "answered"));
      this.#verifyRunTime(life, service, jobs, after.get(service)!);
      return account;
    });
    const metered = after.get("metered")!;
    this.#verdict.expect(
      "no more runs are charged than are licensed",
      metered.runs + metered.leased <= this.#desk.terms.meteredRuns,
      () => `${life}: ${metered.runs} and ${metered.leased} leased of ${this.#desk.terms.meteredRuns}`,
    );
    this.#before = after;
    return accounts;
  }

  async #readLedger(): Promise<Map<ServiceName, Charged>> {
    const { data, licenseId } = this.#desk;
    const ledger = readHostLedger(data, await openHostKey(data.hostDir));
    return new Map(services.map((service) => [service, ledger.totals(licenseId, service)]));
  }

  #account(service: ServiceName, jobs: LoggedJobs, tally: Tally, after: Charged): ServiceAccount {
    const before = this.#before.get(service) ?? { runs: 0, leased: 0 };
    const logged = entriesOf(jobs.charged, service);
    const calls = Object.entries(tally).filter(([key]) => isOf(key, service) && !unlogged.has(key.split(" ")[2]!));
    const outcomes = (fits: (outcome: string) => boolean) =>
      sum(logged.filter(([key]) => fits(key.split(" ")[2]!)).map(([, count]) => count));
    return {
      service,
      // What an earlier life had leased was charged at the start of this one: it is not this one's.
      charged: after.runs + after.leased - before.runs - before.leased,
      leased: after.leased,
      logged: outcomes(() => true),
      answered: outcomes((outcome) => outcome === "OK"),
      failed: outcomes((outcome) => outcome !== "OK" && !givenUp.has(outcome)),
      givenUp: outcomes((outcome) => givenUp.has(outcome)),
      unlogged: sum(calls.map(([, count]) => count)) - sum(entriesOf(jobs.lines, service).map(([, count]) => count)),
    };
  }

  /**
   * After an orderly stop the ledger and the run log are two exact counts of the same. A kill -9 takes the last lines
   * of the run log with it, and burns what was leased and not used: both bounds are known.
   */
  #verifyAccount(life: string, end: LifeEnd, account: ServiceAccount, answered: number): void {
    const { service, charged, leased, logged, unlogged } = account;
    const words = () => `${life}, ${service}: ${JSON.stringify(account)}, clients had ${answered} answers`;
    this.#verdict.expect("no answer was free: runs charged >= answers that clients had", charged >= answered, words);
    if (end === "SIGTERM") {
      this.#verdict.expect(
        "without kill -9: runs charged = answered + failed in native code + given up while running, exactly",
        charged === logged && leased === 0,
        words,
      );
    } else {
      const extra = charged - logged;
      this.#verdict.expect(
        "with kill -9: 0 <= runs charged - known to have begun <= leased + calls cut off",
        extra >= 0 && extra <= leased + unlogged,
        words,
      );
    }
  }

  #verifyRunTime(life: string, service: ServiceName, { pluginMs }: LoggedJobs, { runTimeMs }: Charged): void {
    add(this.#pluginMs as Map<string, number>, service, pluginMs.get(service) ?? 0);
    const known = this.#pluginMs.get(service)!;
    this.#verdict.expect(
      "run time charged >= time in native code",
      // Each settlement rounds down, and carries the rest on to the next.
      runTimeMs >= Math.floor(known) - 1,
      () => `${life}, ${service}: charged ${runTimeMs} ms, known ${known} ms`,
    );
  }

  #verifyOutcomes(life: string, end: LifeEnd, { lines, charged, damaged }: LoggedJobs): void {
    for (const [key, count] of lines) {
      const outcome = key.split(" ")[2]!;
      const paid = charged.get(key) ?? 0;
      const isRight = begun.has(outcome) ? paid === count : neverBegun.has(outcome) ? paid === 0 : true;
      this.#verdict.expect(
        "a job is charged if and only if native code began",
        isRight,
        () => `${life}: ${key}: ${paid} of ${count} are charged`,
      );
    }
    this.#verdict.expect(
      "the run log has whole lines, but for the last one at a kill -9",
      damaged <= (end === "SIGKILL" ? 1 : 0),
      () => `${life}: ${damaged} lines are damaged`,
    );
  }

  /** Patient callers wait for everything, so an orderly server and they count the same. */
  #verifyPatients(life: string, end: LifeEnd, { lines }: LoggedJobs, tally: Tally): void {
    const lost = countOf(tally, "patient", "*", "lost");
    let more = 0;
    let fewer = 0;
    const differing: string[] = [];
    const keys = new Set([
      ...[...lines.keys()].filter((key) => key.startsWith("patient ")),
      ...Object.keys(tally)
        .filter((key) => key.startsWith("patient ") && !key.startsWith("patient - ") && !key.endsWith(" lost"))
        .map((key) => key.replace(/ answered$/, " OK")),
    ]);
    for (const key of keys) {
      const difference = (lines.get(key) ?? 0) - (tally[key.replace(/ OK$/, " answered")] ?? 0);
      more += Math.max(0, difference);
      fewer += Math.max(0, -difference);
      if (difference !== 0) differing.push(`${key} ${difference}`);
    }
    const words = () => `${life}: run log minus clients: ${differing.join(", ")}; ${lost} lost`;
    if (end === "SIGTERM") {
      this.#verdict.expect(
        "an orderly server loses no accepted job: each job in its run log reached its client, and none else",
        more === 0 && fewer === 0,
        words,
      );
    } else {
      this.#verdict.expect(
        "a killed server's jobs reached their clients or were seen to be cut off",
        more <= lost,
        words,
      );
    }
  }
}

function isOf(key: string, service: string): boolean {
  return key.split(" ")[1] === service;
}

function entriesOf(counts: ReadonlyMap<string, number>, service: string): [string, number][] {
  return [...counts].filter(([key]) => isOf(key, service));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** `*` is anybody, or any service. */
export function countOf(tally: Tally, who: string, service: string, ending: string): number {
  const fits = (wanted: string, found: string) => wanted === "*" || wanted === found;
  return sum(
    Object.entries(tally)
      .filter(([key]) => {
        const [w, s, e] = key.split(" ");
        return fits(who, w!) && fits(service, s!) && fits(ending, e!);
      })
      .map(([, count]) => count),
  );
}
