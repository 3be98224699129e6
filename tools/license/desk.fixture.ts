import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { stringify } from "yaml";
import { createHostKey, createHostRequest, type HostKey, type Machine } from "../../src/license/index.ts";

/** A vendor's desk and a customer's host for tests. */

export const passphrase = "correct horse battery staple";

/** A directory that goes away with the test. */
export function useDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "signet-desk-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export interface Host {
  readonly key: HostKey;
  readonly machine: Machine;
  readonly request: Buffer;
}

export async function useHost({ weak = false } = {}): Promise<Host> {
  const directory = mkdtempSync(join(tmpdir(), "signet-host-"));
  const key = await createHostKey(directory);
  rmSync(directory, { recursive: true });
  const facts: Machine["facts"] = [
    { type: "system-uuid", value: "4c4c454400325910", weight: 4 },
    { type: "board-serial", value: "cn7016364b00ab", weight: 3 },
    { type: "disk", value: "s4ewnx0r123456", weight: 3 },
  ];
  const machine: Machine = {
    platform: "physical",
    facts: weak ? [{ type: "cpu", value: "intel 6 151", weight: 1 }] : facts,
    unreadable: [],
    os: "test",
    arch: process.arch,
  };
  return { key, machine, request: Buffer.from(await createHostRequest({ hostKey: key, machine })) };
}

/** Writes services.yaml into a directory of its own. */
export function useDescription(description: object | string): string {
  const path = join(useDirectory(), "services.yaml");
  writeFileSync(path, typeof description === "string" ? description : stringify(description));
  return path;
}
