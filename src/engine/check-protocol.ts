import type { InheritedFile, PluginFacts, Spoiling } from "../plugin/index.ts";

/** "ok": kept; "warn": allowed but unwise; "fail": breaks the contract; "skip": could not be tried, and why. */
export type FindingLevel = "ok" | "warn" | "fail" | "skip";

/** One line of what `signet plugin check` found. */
export interface Finding {
  readonly level: FindingLevel;
  /** What was looked at. */
  readonly check: string;
  readonly found: string;
}

/** What one child process tries. Each is a new process, because any of them may end it. */
export type Scenario =
  /** Load, find the functions, describe(NULL). */
  | { readonly name: "facts" }
  /** create() with what it cannot accept. */
  | {
      readonly name: "refusal";
      readonly check: string;
      readonly configText: string;
      readonly spoiling: Spoiling | null;
    }
  /** create, describe(instance), warmup, a second instance, destroy. */
  | { readonly name: "instance" }
  /** run() with zeros; finds sizes that the plugin takes. */
  | { readonly name: "run" }
  /** run() with zero elements wherever the size is open. */
  | { readonly name: "empty" }
  /** run() after being asked to stop, and after its deadline. @see CheckTask.size */
  | { readonly name: "stop"; readonly size: number }
  /** run() by two threads at once. */
  | { readonly name: "threads"; readonly size: number }
  /** create() and destroy() again and again. */
  | { readonly name: "memory" };

export interface CheckTask {
  readonly scenario: Scenario;
  readonly files: readonly InheritedFile[];
  readonly configText: string;
}

export type FromCheck =
  /** Said before each try, so that a crash or a hang has a name. */
  | { readonly type: "trying"; readonly check: string }
  | { readonly type: "finding"; readonly finding: Finding }
  /** Everything in the scenario was tried. */
  | ({ readonly type: "end" } & ScenarioResult);

export interface ScenarioResult {
  /** False if what was found leaves nothing to build on. */
  readonly isUsable: boolean;
  /** What open dimensions were set to in a run that succeeded. */
  readonly size: number | null;
  /** What describe(NULL) said, from the scenario "facts". */
  readonly facts: PluginFacts | null;
}
