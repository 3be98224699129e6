import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { DataDirectory } from "../../src/config/index.ts";
import { childrenOf } from "../../test/helpers/processes.ts";
import { readDescriptors, readProcess, serviceOf } from "./processes.ts";

/** What a server and its service hosts hold at one moment. */
export interface Sample {
  /** Since the soak began, s. */
  readonly atS: number;
  /** Number of the server's life, from 1. */
  readonly life: number;
  readonly gatewayMiB: number;
  readonly descriptors: number;
  readonly memoryFiles: number;
  /** Files in /dev/shm that it or a service host has open: all its shared memory is to be nameless. */
  readonly namedMemory: number;
  readonly hosts: readonly { readonly service: string; readonly rssMiB: number }[];
  /** Ended children that the server has not taken notice of. */
  readonly zombies: readonly number[];
  readonly ledgerKiB: number;
  readonly auditKiB: number;
}

export function takeSample(pid: number, life: number, startedMs: number, data: DataDirectory): Sample | null {
  const gateway = readProcess(pid);
  if (gateway === null || gateway.isZombie) return null;
  const children = childrenOf(pid).flatMap((child) => readProcess(child) ?? []);
  const { all, memory } = readDescriptors(pid);
  return {
    atS: Math.round((performance.now() - startedMs) / 100) / 10,
    life,
    gatewayMiB: rounded(gateway.rssMiB),
    descriptors: all,
    memoryFiles: memory,
    namedMemory: [pid, ...children.map((child) => child.pid)].reduce(
      (sum, each) => sum + readDescriptors(each).named,
      0,
    ),
    hosts: children
      .filter(({ isZombie }) => !isZombie)
      .map(({ pid, rssMiB }) => ({ service: serviceOf(pid), rssMiB: rounded(rssMiB) })),
    zombies: children.filter(({ isZombie }) => isZombie).map(({ pid }) => pid),
    ledgerKiB: kibOf(data.ledgerDir),
    auditKiB: kibOf(data.auditDir),
  };
}

/** Size of everything in a directory. */
export function kibOf(directory: string): number {
  const bytes = readdirSync(directory, { recursive: true, encoding: "utf8" }).map((name) => {
    try {
      const stat = lstatSync(join(directory, name));
      return stat.isFile() ? stat.size : 0;
    } catch {
      return 0;
    }
  });
  return Math.round(bytes.reduce((sum, size) => sum + size, 0) / 1024);
}

export interface Spread {
  readonly least: number;
  readonly median: number;
  readonly most: number;
}

export function spreadOf(numbers: readonly number[]): Spread | null {
  if (numbers.length === 0) return null;
  const sorted = [...numbers].sort((a, b) => a - b);
  return { least: sorted[0]!, median: sorted[Math.floor(sorted.length / 2)]!, most: sorted.at(-1)! };
}

export interface Growth {
  readonly life: number;
  readonly minutes: number;
  /** Of the straight line through all samples after warm-up, MiB in an hour. */
  readonly mibPerHour: number;
  /** From the median of the first quarter after warm-up to that of the last, MiB. */
  readonly mib: number;
}

/** How the gateway's memory grew in its longest life, the first third left out for warm-up. */
export function growthOf(samples: readonly Sample[]): Growth | null {
  const lives = [...Map.groupBy(samples, ({ life }) => life).values()];
  const longest = lives.sort((a, b) => b.length - a.length)[0] ?? [];
  const warm = longest.slice(Math.floor(longest.length / 3));
  if (warm.length < 8) return null;
  const quarter = Math.floor(warm.length / 4);
  const medianOf = (part: readonly Sample[]) => spreadOf(part.map(({ gatewayMiB }) => gatewayMiB))!.median;
  const meanAt = warm.reduce((sum, { atS }) => sum + atS, 0) / warm.length;
  const meanMiB = warm.reduce((sum, { gatewayMiB }) => sum + gatewayMiB, 0) / warm.length;
  const together = warm.reduce((sum, { atS, gatewayMiB }) => sum + (atS - meanAt) * (gatewayMiB - meanMiB), 0);
  const spread = warm.reduce((sum, { atS }) => sum + (atS - meanAt) ** 2, 0);
  return {
    life: longest[0]!.life,
    minutes: rounded((longest.at(-1)!.atS - longest[0]!.atS) / 60),
    mibPerHour: rounded((together / spread) * 3600),
    mib: rounded(medianOf(warm.slice(-quarter)) - medianOf(warm.slice(0, quarter))),
  };
}

function rounded(number: number): number {
  return Math.round(number * 10) / 10;
}
