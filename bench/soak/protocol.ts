import type { Who } from "./calls.ts";
import type { Target } from "./connection.ts";

/** All that the soak and its client processes say to each other. */

export interface Setup {
  readonly type: "setup";
  readonly seed: number;
  /** Callers of each kind in this process. */
  readonly patients: number;
  readonly hasty: number;
  /** The longest pause of a caller between two calls, ms. */
  readonly pauseMs: number;
  readonly tokens: Readonly<Record<Who, string | null>>;
  /** Inputs of the model and what the model makes of them, in base64. */
  readonly references: readonly { readonly input: string; readonly output: string }[];
}

export type ToClient =
  | Setup
  /** Call this server until told to rest. */
  | { readonly type: "work"; readonly target: Target }
  /** End the calls that run, close all connections, and say `rested`. */
  | { readonly type: "rest" };

/** How calls ended: numbers by `WHO SERVICE ENDING`. */
export type Tally = Record<string, number>;

/** What no call should come to. */
export interface Surprise {
  /** An answer with wrong bytes, an ending that the call cannot have, or none in all its time. */
  readonly kind: "wrong answer" | "wrong ending" | "no ending";
  readonly words: string;
}

export type FromClient =
  | { readonly type: "tally"; readonly tally: Tally }
  | { readonly type: "surprise"; readonly surprise: Surprise }
  /** When the first call since `work` was cut off, ms since 1970; null if none was. All tallies have gone before. */
  | { readonly type: "rested"; readonly firstLostMs: number | null };
