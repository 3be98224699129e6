import { spawnSync } from "node:child_process";
import { join } from "node:path";
import type { Cell } from "./cells.ts";
import { root } from "./host.ts";
import type { BenchServer } from "./servers.ts";

/** Of one server in one cell. */
export interface Figures {
  /** CPU time of all its processes for one request, us. */
  readonly cpu: number;
  /** Requests answered each second. */
  readonly rate: number;
  /** Latency, us. */
  readonly p50: number;
  readonly p99: number;
  /** Resident memory of the process that talks to clients, MiB, at the end. */
  readonly memory: number;
  /** The same of its other processes together. */
  readonly otherMemory: number;
}

const load = join(root, "build", "bench", "signet_bench_load");

/** Runs the load against one server. @throws Error where any call failed */
export function measure(server: BenchServer, cell: Cell, seconds: number, warmUpSeconds: number): Figures {
  const method = cell.stream ? "ModelStreamInfer" : "ModelInfer";
  const options = {
    "--address": server.address,
    "--bytes": cell.bytes,
    "--in-flight": cell.inFlight,
    "--connections": cell.connections,
    "--stream": cell.stream ? 1 : 0,
    "--method": `/inference.GRPCInferenceService/${method}`,
    "--seconds": seconds,
    "--warm-up": warmUpSeconds,
    "--pids": server.pids.join(),
  };
  const words = [...Object.entries(options).flat().map(String), ...server.loadOptions];
  const { status, stdout, stderr } = spawnSync(load, words, { encoding: "utf8" });
  const told = status === 0 ? JSON.parse(stdout) : null;
  if (told === null || told.errors > 0 || told.count === 0) {
    throw new Error(`${server.name}, ${cell.name}: ${told?.firstError || stderr || "no answer"}`);
  }
  return {
    cpu: told.cpuUs / told.count,
    rate: told.count / told.seconds,
    p50: told.p50Us,
    p99: told.p99Us,
    memory: told.residentKiB / 1024,
    otherMemory: told.othersResidentKiB / 1024,
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Rounds of all servers in one cell, side by side. */
export class Rounds {
  readonly #figures = new Map<string, Figures[]>();

  add(server: string, figures: Figures): void {
    this.#figures.set(server, [...(this.#figures.get(server) ?? []), figures]);
  }

  /** The medians of each server. */
  medians(): Record<string, Figures> {
    return Object.fromEntries([...this.#figures].map(([server, rounds]) => [server, mediansOf(rounds)]));
  }

  /** The median of the ratios of each round, in which both met the same machine; null where one is missing. */
  ratio(server: string, peer: string, figure: keyof Figures): number | null {
    const [ours, theirs] = [this.#figures.get(server), this.#figures.get(peer)];
    if (!ours || !theirs) return null;
    const rounds = Math.min(ours.length, theirs.length);
    return median(Array.from({ length: rounds }, (_, round) => ours[round]![figure] / theirs[round]![figure]));
  }
}

function mediansOf(rounds: readonly Figures[]): Figures {
  const of = (figure: keyof Figures) => median(rounds.map((figures) => figures[figure]));
  return {
    cpu: of("cpu"),
    rate: of("rate"),
    p50: of("p50"),
    p99: of("p99"),
    memory: of("memory"),
    otherMemory: of("otherMemory"),
  };
}
