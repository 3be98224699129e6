import type { Random } from "../../test/helpers/seeded-random.ts";
import { type Call, modelInput, rawOutput, recognition } from "./calls.ts";
import { ClientProcess } from "./client-process.ts";
import { Connection, type Target } from "./connection.ts";
import type { SoakDesk } from "./desk.ts";
import type { Setup, Surprise, Tally } from "./protocol.ts";

/** How much load there is. */
export interface Load {
  readonly clientProcesses: number;
  /** Callers in each of these processes that wait for every answer, and that do not. */
  readonly patients: number;
  readonly hasty: number;
  /** The longest pause of a caller between two calls, ms. */
  readonly pauseMs: number;
}

const REFERENCES = 8;
const TIMEOUT_MS = 60_000;

/** All client processes together. */
export class Clients {
  /** What calls came to since `takeTally` was called last. */
  #tally: Tally = {};
  #processes: ClientProcess[] = [];
  #resting: Promise<number | null> | undefined;
  readonly #onTally: (tally: Tally) => void;

  constructor(onTally: (tally: Tally) => void) {
    this.#onTally = onTally;
  }

  get areStarted(): boolean {
    return this.#processes.length > 0;
  }

  /** Starts the processes, with answers of the model that this server gave while nothing disturbed it. */
  async start(load: Load, desk: SoakDesk, target: Target, random: Random, onSurprise: (s: Surprise) => void) {
    const references = await this.#askModel(desk, target, random);
    const { clientProcesses, ...callers } = load;
    this.#processes = Array.from({ length: clientProcesses }, () => {
      const setup = { seed: random.below(2 ** 32), ...callers, tokens: desk.tokens, references };
      return new ClientProcess(setup, { onTally: (tally) => this.#count(tally), onSurprise });
    });
  }

  work(target: Target): void {
    for (const client of this.#processes) client.work(target);
  }

  /** Resolves when every call has ended, with the time of the first that was cut off since `work`; null if none was. */
  rest(): Promise<number | null> {
    this.#resting ??= this.#rest().finally(() => {
      this.#resting = undefined;
    });
    return this.#resting;
  }

  async #rest(): Promise<number | null> {
    const lost = await Promise.all(this.#processes.map((client) => client.rest()));
    const times = lost.filter((time) => time !== null);
    return times.length === 0 ? null : Math.min(...times);
  }

  takeTally(): Tally {
    const tally = this.#tally;
    this.#tally = {};
    return tally;
  }

  async end(): Promise<void> {
    await Promise.all(this.#processes.map((client) => client.end()));
  }

  async #askModel(desk: SoakDesk, target: Target, random: Random): Promise<Setup["references"]> {
    const connection = new Connection(target);
    const ask = async (): Promise<Setup["references"][number]> => {
      const input = modelInput(random);
      const { method, request }: Pick<Call, "method" | "request"> = recognition(input);
      const ending = await connection.call(method, request, { token: desk.tokens.hasty, timeoutMs: TIMEOUT_MS });
      if (!("response" in ending)) throw new Error(`the model does not answer: ${ending.word} ${ending.details}`);
      this.#count({ "hasty direction answered": 1 });
      return { input: input.toString("base64"), output: rawOutput(ending.response).toString("base64") };
    };
    const references: Setup["references"][number][] = [];
    for (let index = 0; index < REFERENCES; index++) references.push(await ask());
    connection.close();
    return references;
  }

  #count(tally: Tally): void {
    addTally(this.#tally, tally);
    this.#onTally(tally);
  }
}

export function addTally(sum: Tally, more: Tally): void {
  for (const [key, count] of Object.entries(more)) sum[key] = (sum[key] ?? 0) + count;
}
