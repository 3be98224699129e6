import type {} from "vitest";

/** What attacks are on, in the order of the table that `npm run attack` prints. */
export const families = [
  "licenses",
  "the vendor's desk",
  "the host's identity",
  "the ledger and the clock",
  "libraries and models",
  "the installation of a bundle",
  "the start of the server",
  "the server's memory by the same user",
  "the readers of untrusted bytes",
  "calls",
  "connections and certificates",
  "the server's time and memory",
  "the gateway by a plugin",
  "the rest of the machine by a plugin",
  "logs and tickets",
] as const;
export type Family = (typeof families)[number];

/** What is known of an attack when its test has ended, for the table. */
export interface AttackRecord {
  readonly family: Family;
  /** What somebody wants, in a few words; left out where the test's name says it. */
  readonly attack?: string;
  /** How they go about it; left out where the test's name says it. */
  readonly tried?: string;
  /** How often each code was what an assertion of the test really had before it. */
  readonly codes: Readonly<Record<string, number>>;
  /** The exit codes that they had before them, of programs that refused. */
  readonly exits: readonly number[];
  /** What happened, where a code does not say it. */
  readonly outcome?: string;
}

declare module "vitest" {
  interface TaskMeta {
    attack?: AttackRecord;
  }
}
