import { release, type } from "node:os";
import { Worker } from "node:worker_threads";
import { z } from "zod";
import { SignetError } from "../errors.ts";
import { identifierFrom, macAddressFrom } from "./identifier.ts";
import { factsFrom, type Machine } from "./machine-fact.ts";
import type { ComponentType } from "./schema.ts";

// The text of programs that may not be the ones we think: short, and nothing is believed of its form.
const text = z.string().max(1000);
const collectedSchema = z.object({
  systemUuid: text,
  boardSerial: text,
  cpu: text,
  diskSerials: z.array(text).max(1000),
  macAddresses: z.array(text).max(1000),
  isVirtual: z.boolean(),
});
export type Collected = z.infer<typeof collectedSchema>;

const TIMEOUT_MS = 15_000;

/**
 * Asks systeminformation, which runs programs by bare name. It does so in a worker thread with an environment of
 * its own: a fake `lsblk` in the caller's PATH is not found there, and the caller's environment stays as it is.
 *
 * @throws INTERNAL when it fails or takes longer than 15 s
 */
export function collectWithSysteminformation(): Promise<Collected> {
  const worker = new Worker(new URL("./systeminformation-worker.ts", import.meta.url), {
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: 256 },
  });
  return new Promise<Collected>((resolve, reject) => {
    const fail = (cause: unknown) =>
      reject(new SignetError("INTERNAL", "systeminformation did not answer as expected", { cause }));
    const timer = setTimeout(fail, TIMEOUT_MS, new Error("timeout"));
    worker.once("message", (message: unknown) => {
      const result = collectedSchema.safeParse(message);
      if (result.success) resolve(result.data);
      else fail(result.error);
    });
    worker.once("error", fail);
    worker.once("exit", fail);
    worker.once("exit", () => clearTimeout(timer));
  }).finally(() => worker.terminate());
}

/** The collector where the kernel has no files to read. */
export function machineFrom(collected: Collected): Machine {
  return {
    platform: collected.isVirtual ? "vm" : "physical",
    facts: [
      ...factsFrom("system-uuid", 4, [collected.systemUuid]),
      ...factsFrom("board-serial", 3, [collected.boardSerial]),
      ...factsFrom("cpu", 1, [`model ${collected.cpu}`]),
      ...factsFrom("disk", 3, collected.diskSerials),
      ...factsFrom("nic", 2, collected.macAddresses.map(macAddressFrom)),
    ],
    unreadable: [],
    os: `${type()} ${release()}`.slice(0, 200),
    arch: process.arch,
  };
}

export interface Disagreement {
  readonly type: ComponentType;
  readonly reason: string;
}

/**
 * Where systeminformation tells another story than the kernel's files. Nothing is decided by it; it is a sign that
 * somebody has been at the machine's tools. Types only: values are secrets of the host.
 */
export async function crossCheckMachine(machine: Machine): Promise<Disagreement[]> {
  return disagreementsBetween(machine, await collectWithSysteminformation());
}

export function disagreementsBetween(machine: Machine, collected: Collected): Disagreement[] {
  const stories: [ComponentType, (string | undefined)[]][] = [
    ["system-uuid", [identifierFrom(collected.systemUuid)]],
    ["board-serial", [identifierFrom(collected.boardSerial)]],
    ["disk", collected.diskSerials.map(identifierFrom)],
    ["nic", collected.macAddresses.map(macAddressFrom)],
  ];
  return stories.flatMap(([component, told]) => {
    const known = machine.facts.filter((fact) => fact.type === component).map((fact) => fact.value);
    const others = told.filter((value) => value !== undefined);
    // Either side may see less than the other, by rights or by driver; only two different answers contradict.
    if (known.length === 0 || others.length === 0 || known.some((value) => others.includes(value))) return [];
    return [{ type: component, reason: "systeminformation reports another value than the kernel" }];
  });
}
