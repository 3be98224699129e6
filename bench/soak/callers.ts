import { setTimeout as sleep } from "node:timers/promises";
import { Random } from "../../test/helpers/seeded-random.ts";
import { anyService, type Call, drawCrash, drawHasty, drawPatient, fillPool, type Reference } from "./calls.ts";
import { Connection, type Target, vanish } from "./connection.ts";
import type { FromClient, Setup, Surprise, Tally } from "./protocol.ts";

const TELL_MS = 1000;
/** What a client's own deadline may be late by on the most loaded of machines. */
const HUNG_MS = 120_000;
/** How long a caller waits when nothing listens any more. */
const NOBODY_THERE_MS = 50;

/** The callers of one client process: each makes a call, waits for its end, and makes the next one. */
export class Callers {
  readonly #setup: Setup;
  readonly #tell: (message: FromClient) => void;
  readonly #references: readonly Reference[];
  readonly #random: Random;
  #tally: Tally = {};
  #isWorking = false;
  #running: Promise<unknown>[] = [];
  #firstLostMs: number | null = null;

  constructor(setup: Setup, tell: (message: FromClient) => void) {
    this.#setup = setup;
    this.#tell = tell;
    this.#random = new Random(setup.seed);
    this.#references = setup.references.map(({ input, output }) => ({
      input: Buffer.from(input, "base64"),
      output: Buffer.from(output, "base64"),
    }));
    fillPool(this.#random);
    setInterval(() => this.#tellTally(), TELL_MS).unref();
  }

  work(target: Target): void {
    this.#isWorking = true;
    this.#firstLostMs = null;
    const { patients, hasty } = this.#setup;
    const start = (draw: typeof drawPatient) =>
      this.#goOn(target, draw, new Random(this.#random.below(2 ** 32))).catch((error) => {
        this.#surprise("wrong ending", `a caller failed: ${error.stack}`);
      });
    this.#running = [
      // So that the shortest life has a crash.
      this.#once(target, drawCrash(this.#random)),
      ...Array.from({ length: patients }, () => start(drawPatient)),
      ...Array.from({ length: hasty }, () => start(drawHasty)),
    ];
  }

  async rest(): Promise<number | null> {
    this.#isWorking = false;
    await Promise.all(this.#running);
    this.#tellTally();
    return this.#firstLostMs;
  }

  async #goOn(target: Target, draw: typeof drawPatient, random: Random): Promise<void> {
    while (this.#isWorking) {
      // A new connection for a while: some for one call, some for hundreds.
      const connection = new Connection(target);
      for (let calls = random.magnitude(1, 300); calls > 0 && this.#isWorking; calls--) {
        const ending = await this.#make(draw(random, this.#references), connection, target);
        await sleep(ending === "lost" ? NOBODY_THERE_MS : random.between(0, this.#setup.pauseMs));
      }
      connection.close();
    }
  }

  async #once(target: Target, call: Call): Promise<void> {
    const connection = new Connection(target);
    await this.#make(call, connection, target);
    connection.close();
  }

  /** Makes one call and counts how it ended. */
  async #make(call: Call, connection: Connection, target: Target): Promise<string> {
    const hung = new AbortController();
    const given = this.#end(call, connection, target);
    const never = sleep(call.timeoutMs + HUNG_MS, "hung", { signal: hung.signal, ref: false }).catch(() => "hung");
    const ending = await Promise.race([given, never]);
    hung.abort();
    if (ending === "hung") this.#surprise("no ending", describe(call));
    if (ending === "lost") this.#firstLostMs ??= Date.now();
    const key = `${call.who} ${call.service} ${ending}`;
    this.#tally[key] = (this.#tally[key] ?? 0) + 1;
    return ending;
  }

  /** `answered`, a code, `lost` for a call that was cut off, or `gone` for a client that did not wait to see. */
  async #end(call: Call, connection: Connection, target: Target): Promise<string> {
    const token = this.#setup.tokens[call.who];
    if (call.vanishAfterMs !== undefined) {
      await vanish(target, token ?? "", call.request, call.vanishAfterMs);
      return "gone";
    }
    const leaving = new AbortController();
    const { cancelAfterMs } = call;
    const timer = cancelAfterMs === undefined ? undefined : setTimeout(() => leaving.abort(), cancelAfterMs);
    const { timeoutMs } = call;
    // A patient with a certificate needs no token.
    const shown = call.who === "patient" && target.certFile !== undefined ? null : token;
    const ending = await connection.call(call.method, call.request, {
      token: shown,
      timeoutMs,
      signal: leaving.signal,
    });
    clearTimeout(timer);
    if ("response" in ending) {
      if (!call.isRight?.(ending.response)) this.#surprise("wrong answer", describe(call));
      return "answered";
    }
    const word = wordOf(ending.word, leaving.signal.aborted);
    const own = call.who === "hasty" ? ["DEADLINE_EXCEEDED", "CANCELLED"] : [];
    const allowed = [...anyService, ...call.refusals, ...own, "lost"];
    if (word === "DEADLINE_EXCEEDED" && call.who === "patient") this.#surprise("no ending", describe(call));
    else if (!allowed.includes(word)) this.#surprise("wrong ending", `${describe(call)}: ${word}: ${ending.details}`);
    return word;
  }

  #surprise(kind: Surprise["kind"], words: string): void {
    this.#tell({ type: "surprise", surprise: { kind, words } });
  }

  #tellTally(): void {
    if (Object.keys(this.#tally).length > 0) this.#tell({ type: "tally", tally: this.#tally });
    this.#tally = {};
  }
}

/** Where gRPC itself ended the call: on the client's side, for its size, or because the connection broke. */
function wordOf(word: string, hasCancelled: boolean): string {
  if (!word.startsWith("gRPC ")) return word;
  if (word === "gRPC DEADLINE_EXCEEDED") return "DEADLINE_EXCEEDED";
  if (word === "gRPC CANCELLED" && hasCancelled) return "CANCELLED";
  if (word === "gRPC RESOURCE_EXHAUSTED") return "REQUEST_TOO_LARGE";
  return ["gRPC UNAVAILABLE", "gRPC INTERNAL", "gRPC UNKNOWN", "gRPC CANCELLED"].includes(word) ? "lost" : word;
}

function describe({ who, service, method, request }: Call): string {
  const text = JSON.stringify(request, (_, value) =>
    value?.type === "Buffer" || Array.isArray(value?.data) ? `${value.data.length} bytes` : value,
  );
  return `${who}, ${method} of ${service}: ${text.slice(0, 300)}`;
}
