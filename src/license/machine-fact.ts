import { identifierFrom } from "./identifier.ts";
import type { ComponentType, Platform } from "./schema.ts";

/**
 * One identifying fact: a normalized value and what it is worth. Values are secrets of the host: they are never shown.
 */
export interface MachineFact {
  readonly type: ComponentType;
  readonly value: string;
  /** 1 to 9, see fingerprint.ts. */
  readonly weight: number;
}

export interface Machine {
  readonly platform: Platform;
  /** The best first within each type; degenerate values are left out. */
  readonly facts: readonly MachineFact[];
  /** Types whose source is there but may not be read by this user. */
  readonly unreadable: readonly ComponentType[];
  /** For people, at most 200 characters. */
  readonly os: string;
  readonly arch: string;
}

/** Facts of one type out of raw values, the best first; degenerate and repeated ones are left out. */
export function factsFrom(type: ComponentType, weight: number, values: (string | undefined)[]): MachineFact[] {
  const identifiers = values.map(identifierFrom).filter((value) => value !== undefined);
  return [...new Set(identifiers)].map((value) => ({ type, value, weight }));
}
