import { copyFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { nativeProgram } from "./native.ts";
import { nvmlDirectory, useSystemRoot } from "./nvml.ts";

/** A simulated card. Memory in MiB; what is left out is a healthy, empty card of 80 GiB. */
export interface FakeCard {
  readonly totalMiB?: number;
  readonly usedMiB?: number;
  readonly utilizationPercent?: number;
  readonly temperatureC?: number;
  /** Its partitions, by number; none where it is not cut. */
  readonly partitions?: Readonly<Record<number, { readonly totalMiB: number; readonly usedMiB?: number }>>;
  /** What computes on it; pid to MiB, null where the driver does not tell. */
  readonly processes?: Readonly<Record<number, number | null>>;
  /** What every call on it fails with, such as 15: fallen off the bus. */
  readonly code?: number;
}

export interface FakeDriver {
  /** The system that it is installed in. */
  readonly root: string;
  /** What the driver sees from now on. @param troubles lines such as `hang nvmlDeviceGetMemoryInfo` or `init 9` */
  set(cards: readonly FakeCard[], ...troubles: string[]): void;
}

/** A system with NVIDIA's driver, as native/test/fake-nvml.c plays it. */
export function useFakeDriver(...cards: FakeCard[]): FakeDriver {
  const root = useSystemRoot();
  const library = join(root, nvmlDirectory, "libnvidia-ml.so.1");
  copyFileSync(nativeProgram("libfake_nvml.so"), library);
  const set = (changed: readonly FakeCard[], ...troubles: string[]) => {
    // At once: a reader sees the cards as they were or as they are.
    writeFileSync(`${library}.next`, [...troubles, ...changed.flatMap(linesOf), ""].join("\n"));
    renameSync(`${library}.next`, `${library}.cards`);
  };
  set(cards);
  return { root, set };
}

/** The serial number that a simulated card has. */
export function fakeUuid(index: number): string {
  return `GPU-0000000${index}-4b5a-6978-8695-a4b3c2d1e0f5`;
}

/** The serial number that a partition of a simulated card has. */
export function fakePartitionUuid(card: number, index: number): string {
  return `MIG-0000000${card}-000${index}-6978-8695-a4b3c2d1e0f5`;
}

function linesOf(card: FakeCard, index: number): string[] {
  const { totalMiB = 81_920, usedMiB = 0, utilizationPercent = 0, temperatureC = 40, partitions, code = 0 } = card;
  const mig = partitions === undefined ? 0 : 1;
  const memory = [totalMiB, usedMiB].map(bytesOf).join(" ");
  const parts = Object.entries(partitions ?? {}).map(([number, part]) => {
    const memoryOfPart = [part.totalMiB, part.usedMiB ?? 0].map(bytesOf).join(" ");
    return `part ${index} ${number} ${fakePartitionUuid(index, Number(number))} ${memoryOfPart}`;
  });
  const processes = Object.entries(card.processes ?? {}).map(
    ([pid, usedByIt]) => `process ${index} -1 ${pid} ${usedByIt === null ? -1 : bytesOf(usedByIt)}`,
  );
  return [
    `card ${index} ${fakeUuid(index)} ${memory} ${utilizationPercent} ${temperatureC} ${mig} ${code}`,
    ...parts,
    ...processes,
  ];
}

function bytesOf(mib: number): number {
  return mib * 2 ** 20;
}
