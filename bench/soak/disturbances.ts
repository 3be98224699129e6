import { childrenOf } from "../../test/helpers/processes.ts";
import type { Random } from "../../test/helpers/seeded-random.ts";
import type { SoakDesk } from "./desk.ts";
import { serviceOf } from "./processes.ts";
import type { RunLogReader } from "./run-log-reader.ts";
import type { LogLine, ServerLife } from "./server-life.ts";
import type { Verdict } from "./verdict.ts";

/** What a disturbance can reach. */
export interface Scene {
  readonly server: ServerLife;
  readonly desk: SoakDesk;
  readonly runLog: RunLogReader;
  readonly random: Random;
  readonly verdict: Verdict;
  readonly usesTls: boolean;
  /** Lets all clients rest and looks at what the server still holds then. */
  breathe(): Promise<void>;
}

/** What happens to a server while it serves, besides its clients. Plugins are made to fail by the clients' calls. */
export const disturbances = { renew, endHost, breathe, withdraw, changeAccess, rotate, pauseHost, freezeHost, look };

export type DisturbanceName = keyof typeof disturbances;

/** Each at least once, in this order; from then on by chance. */
export const opening: readonly DisturbanceName[] = ["renew", "endHost", "withdraw", "breathe", "rotate"];

const weights: Readonly<Record<DisturbanceName, number>> = {
  ...{
    renew: 6,
    endHost: 6,
    breathe: 2,
    withdraw: 1,
    changeAccess: 2,
    rotate: 2,
    pauseHost: 2,
    freezeHost: 1,
    look: 2,
  },
};

export function drawDisturbance(random: Random): DisturbanceName {
  const names = Object.entries(weights).flatMap(([name, weight]) => Array<string>(weight).fill(name));
  return random.pick(names) as DisturbanceName;
}

/** A renewal while it serves: more runs, and now and then another process or another version. */
async function renew({ desk, server, random, verdict }: Scene): Promise<void> {
  // Of this license: a list that came just before has the server decide about the one before it once more.
  const { sequence } = desk;
  const decided = server.logged((line) => isDecision(line) && line.sequence !== sequence);
  await desk.renew({
    meteredRuns: desk.terms.meteredRuns + 100 + random.below(400),
    ...(random.chance(0.3) ? { identityConcurrency: 1 + random.below(3) } : {}),
    ...(random.chance(0.3) ? { version: `${1 + random.below(9)}` } : {}),
  });
  const line = await decided;
  verdict.expect(
    "a renewal is taken over while the server serves",
    line === null || line.sequence === desk.sequence,
    () => JSON.stringify(line),
  );
}

function isDecision({ msg }: LogLine): boolean {
  return msg === "the installed license is in force" || msg.startsWith("the installed license is refused");
}

/** The kernel, or an operator, ends a service's process. */
async function endHost({ server, random }: Scene): Promise<void> {
  const hosts = childrenOf(server.pid);
  if (hosts.length > 0) signal(random.pick(hosts), random.pick(["SIGKILL", "SIGTERM", "SIGSEGV"] as const));
}

/** A service's process gets no time for a moment. */
async function pauseHost({ server, random }: Scene): Promise<void> {
  const hosts = childrenOf(server.pid);
  if (hosts.length === 0) return;
  const host = random.pick(hosts);
  signal(host, "SIGSTOP");
  await new Promise((resolve) => setTimeout(resolve, random.between(100, 2000)));
  signal(host, "SIGCONT");
}

/** A service's process hangs, and nobody helps but the server. */
async function freezeHost({ server, random }: Scene): Promise<void> {
  const hosts = childrenOf(server.pid).filter((pid) => serviceOf(pid) !== "identity");
  if (hosts.length > 0) signal(random.pick(hosts), "SIGSTOP");
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended by itself.
  }
}

async function withdraw({ desk }: Scene): Promise<void> {
  await desk.withdrawAnother();
}

async function changeAccess({ desk }: Scene): Promise<void> {
  const { id } = await desk.addToken("visitor", "client");
  await desk.signet("access", "remove", id);
}

/** As logrotate does; and new TLS certificates, where they are used. */
async function rotate({ desk, server, runLog, usesTls }: Scene): Promise<void> {
  if (usesTls) await desk.signet("certs", "server");
  if (server.isEnding) return;
  runLog.rotate();
  server.kill("SIGHUP");
}

/** The operator's commands, which read what the server writes. */
async function look({ desk }: Scene): Promise<void> {
  await desk.signet("license", "status", "--json");
  await desk.signet("audit", "verify");
}

async function breathe(scene: Scene): Promise<void> {
  await scene.breathe();
}
