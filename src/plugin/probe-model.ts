import { fstatSync, readSync } from "node:fs";
import { mapFile } from "./libc.ts";
import { addressOf, type InheritedFile } from "./library.ts";
import type { ProbeModel } from "./probe.ts";

// A plugin may point into its model files until the process ends.
const kept: Buffer[] = [];

/** A model file as a service host would hand it over: mapped, read-only. */
export function openModel(file: InheritedFile): ProbeModel {
  const { size } = fstatSync(file.fd);
  return { name: file.name, address: size === 0 ? 0n : mapFile(file.fd, size, "read"), bytes: size };
}

export type Spoiling = "noise" | "truncated" | "empty";

/** The same file as no vendor would ship it, to see what a plugin makes of it. */
export function spoilModel(file: InheritedFile, how: Spoiling): ProbeModel {
  if (how === "empty") return { name: file.name, address: 0n, bytes: 0 };
  const { size } = fstatSync(file.fd);
  const bytes = how === "noise" ? createNoise(Math.min(Math.max(size, 64), 1 << 20)) : Buffer.alloc(size >> 1 || 1);
  if (how === "truncated") readSync(file.fd, bytes, 0, bytes.length, 0);
  kept.push(bytes);
  return { name: file.name, address: addressOf(bytes), bytes: bytes.length };
}

/** The same bytes every time, so that a finding can be found again. */
function createNoise(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  let state = 0x9e3779b9;
  for (let at = 0; at < size; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[at] = state & 0xff;
  }
  return bytes;
}
