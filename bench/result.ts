import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";
import type { Bound, Cell } from "./cells.ts";
import type { Figures, Rounds } from "./measure.ts";

/** What `--json` writes, and what the performance page is made of. */
export interface Result {
  readonly measuredAt: string;
  readonly machine: Machine;
  readonly rounds: number;
  readonly secondsEach: number;
  readonly cells: readonly CellResult[];
  /** Servers that could not be had here, and why. */
  readonly leftOut: readonly string[];
  /** What went wrong. */
  readonly failures: readonly string[];
}

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  /** Processes that wanted to run before anything was measured, mean of a minute. */
  readonly load: number;
}

export interface CellResult {
  readonly name: string;
  /** Medians of all rounds; others are compared with the first. */
  readonly servers: Readonly<Record<string, Figures>>;
  /** CPU time over the first server's, the median of the rounds. */
  readonly cpuRatios: Readonly<Record<string, number>>;
  readonly bounds: readonly (Bound & { readonly ratio: number })[];
}

export function describeMachine(): Machine {
  const [processor] = cpus();
  return {
    processor: processor?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release().split(".").slice(0, 2).join("."),
    node: process.version,
    load: Math.round(loadavg()[0]! * 10) / 10,
  };
}

export function resultOf(cell: Cell, rounds: Rounds): CellResult {
  const servers = rounds.medians();
  const names = cell.servers.map(({ name }) => name).filter((name) => Object.hasOwn(servers, name));
  const ratios = names.map((name) => [name, rounds.ratio(name, names[0]!, "cpu")!] as const);
  const bounds = cell.bounds.flatMap((bound) => {
    const ratio = rounds.ratio(bound.server, bound.peer, bound.figure);
    return ratio === null ? [] : [{ ...bound, ratio }];
  });
  const inOrder = Object.fromEntries(names.map((name) => [name, servers[name]!]));
  return { name: cell.name, servers: inOrder, cpuRatios: Object.fromEntries(ratios), bounds };
}

/** `measured` where there is no bound, only an aim. */
export type Verdict = "aim met" | "met" | "measured" | "MISSED";

export function verdictOf({ figure, must, aim, ratio }: CellResult["bounds"][number]): Verdict {
  const isMet = (limit: number) => (figure === "rate" ? ratio >= limit : ratio <= limit);
  if (isMet(aim)) return "aim met";
  if (must === null) return "measured";
  return isMet(must) ? "met" : "MISSED";
}

export function readResult(file: string): Result {
  return JSON.parse(readFileSync(file, "utf8"));
}
