import { scrypt } from "node:crypto";
import type { Machine, MachineFact } from "./machine-fact.ts";
import type { Component, ComponentType, License } from "./schema.ts";

/**
 * A host is recognized by what is still the same: components have weights, and 60 % of what was enrolled must
 * match, so that a changed network card does not stop a factory and a copied disk does not make a second host.
 */

/** Below this sum of weights a host cannot be told from a copy of itself, as is normal in a cloud. */
const WEAK_BELOW = 8;
const THRESHOLD_PERCENT = 60;
const GPU_SET_WEIGHT = 6;
const SALT_BYTES = 32;
const HASH_BYTES = 32;
// About 0.1 s for each guess: a network card's address has only 2^24 likely values.
const scryptCost = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 1024 * 1024 } as const;

/** How many facts of a type are enrolled; the schema holds 64 in all. */
const enrolledPerType: Record<ComponentType, number> = {
  "system-uuid": 1,
  "board-serial": 1,
  "chassis-serial": 1,
  cpu: 1,
  disk: 1,
  nic: 2,
  gpu: 32,
  "machine-id": 1,
};
/** How many facts of a type are looked at when matching; each costs one scrypt. */
const CANDIDATES_PER_TYPE = 32;

/** What is left of one enrolled type. */
export interface MatchedPart {
  readonly type: ComponentType;
  readonly enrolled: number;
  readonly present: number;
  /** All of its points match, as they do while half of the GPUs are there. */
  readonly countsInFull: boolean;
}

export interface FingerprintMatch {
  readonly matchedWeight: number;
  readonly enrolledWeight: number;
  readonly threshold: number;
  /** Types of which at least this many must match. */
  readonly minTypes: number;
  readonly parts: readonly MatchedPart[];
  readonly matchedTypes: readonly ComponentType[];
  /** Enrolled types that do not match now: never values, they are secrets of the host. */
  readonly changedTypes: readonly ComponentType[];
  /** Those of them that this user may not read, so that nobody looks for changed hardware. */
  readonly unreadableTypes: readonly ComponentType[];
  /** A virtual machine whose system UUID is another one. */
  readonly isClone: boolean;
  readonly isMatch: boolean;
}

/** @param salt 32 random bytes, fresh for every request, so that two requests cannot be linked by their hashes. */
export async function enroll(machine: Machine, salt: Uint8Array): Promise<Component[]> {
  if (salt.length !== SALT_BYTES) throw new RangeError(`expected a salt of ${SALT_BYTES} bytes`);
  const chosen = Object.entries(enrolledPerType).flatMap(([type, count]) =>
    machine.facts.filter((fact) => fact.type === type).slice(0, count),
  );
  return Promise.all(
    chosen.map(async (fact) => ({ type: fact.type, weight: fact.weight, hash: await hashFact(fact, salt) })),
  );
}

export function isWeak(components: readonly Component[]): boolean {
  return weightOf(components) < WEAK_BELOW;
}

/** What must match: 60 % of the weight, rounded up, and two types where two or more are enrolled. */
export function thresholdFor(components: readonly Component[]): { threshold: number; minTypes: number } {
  return {
    threshold: Math.ceil((weightOf(components) * THRESHOLD_PERCENT) / 100),
    minTypes: Math.min(2, typesOf(components).length),
  };
}

/** The sum of weights; GPUs count as one set, at most 6, however many there are. */
export function weightOf(components: readonly Component[]): number {
  return typesOf(components).reduce((sum, type) => sum + weightOfType(components, type), 0);
}

export async function matchFingerprint(host: License["host"], machine: Machine): Promise<FingerprintMatch> {
  const enrolled = host.components;
  const salt = Buffer.from(host.salt, "base64");
  const types = typesOf(enrolled);
  const present = new Set(
    await Promise.all(types.flatMap((type) => candidates(machine, type)).map((fact) => taggedHash(fact, salt))),
  );
  const matched = enrolled.filter((component) => present.has(tag(component.type, component.hash)));
  const matchedTypes = types.filter((type) => matchedWeightOf(type) > 0);
  const matchedWeight = types.reduce((sum, type) => sum + matchedWeightOf(type), 0);
  const changedTypes = types.filter((type) => matchedWeightOf(type) < weightOfType(enrolled, type));
  // Everything else about a copied virtual machine can be the same; a hypervisor gives the copy another UUID.
  const isClone = host.platform === "vm" && types.includes("system-uuid") && !matchedTypes.includes("system-uuid");
  return {
    matchedWeight,
    enrolledWeight: weightOf(enrolled),
    threshold: host.threshold,
    minTypes: host.minTypes,
    parts: types.map(partOf),
    matchedTypes,
    changedTypes,
    unreadableTypes: changedTypes.filter((type) => machine.unreadable.includes(type)),
    isClone,
    isMatch: matchedWeight >= host.threshold && matchedTypes.length >= host.minTypes && !isClone,
  };

  function partOf(type: ComponentType): MatchedPart {
    const count = (components: readonly Component[]) => components.filter((each) => each.type === type).length;
    const countsInFull = matchedWeightOf(type) === weightOfType(enrolled, type);
    return { type, enrolled: count(enrolled), present: count(matched), countsInFull };
  }

  function matchedWeightOf(type: ComponentType): number {
    const mine = matched.filter((component) => component.type === type);
    if (type !== "gpu") return weightOfType(mine, type);
    // GPUs are replaced and added one by one: half of the set stands for the whole.
    const needed = Math.ceil(enrolled.filter((component) => component.type === type).length / 2);
    return mine.length >= needed ? weightOfType(enrolled, type) : 0;
  }
}

function candidates(machine: Machine, type: ComponentType): MachineFact[] {
  return machine.facts.filter((fact) => fact.type === type).slice(0, CANDIDATES_PER_TYPE);
}

function typesOf(components: readonly Component[]): ComponentType[] {
  return [...new Set(components.map((component) => component.type))];
}

function weightOfType(components: readonly Component[], type: ComponentType): number {
  const sum = components
    .filter((component) => component.type === type)
    .reduce((total, component) => total + component.weight, 0);
  return type === "gpu" ? Math.min(GPU_SET_WEIGHT, sum) : sum;
}

function tag(type: ComponentType, hash: string): string {
  return `${type} ${hash}`;
}

async function taggedHash(fact: MachineFact, salt: Uint8Array): Promise<string> {
  return tag(fact.type, await hashFact(fact, salt));
}

// The type is part of the salt, so that equal values of two types have nothing in common.
function hashFact({ type, value }: MachineFact, salt: Uint8Array): Promise<string> {
  const typedSalt = Buffer.concat([salt, Buffer.from(`signet/fp/v1|${type}`)]);
  return new Promise((resolve, reject) => {
    scrypt(value, typedSalt, HASH_BYTES, scryptCost, (error, hash) =>
      error === null ? resolve(hash.toString("base64")) : reject(error),
    );
  });
}
