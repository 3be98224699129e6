import type { ErrorCode } from "../errors.ts";
import type { InheritedFile, SlotsLayout } from "../plugin/index.ts";

/**
 * Everything the gateway and a service host say to each other, as JSON over the child's channel. Jobs never travel
 * here: they go through the rings of the shared slots (src/plugin/rings.ts), tensors and all.
 */

export type ToHost =
  /** First and once: load, create, start the worker threads. */
  | {
      readonly type: "start";
      readonly files: readonly InheritedFile[];
      readonly config: unknown;
      /** Where the instance is made. */
      readonly device: "cpu" | "cuda";
      readonly threads: number;
      readonly slots: { readonly fd: number; readonly layout: SlotsLayout };
    }
  /** Nothing runs any more: destroy the instance and end. */
  | { readonly type: "stop" };

export type FromHost =
  /** The plugin is loaded and its instance made. Both texts are the plugin's JSON, not yet believed. */
  | { readonly type: "ready"; readonly plugin: string; readonly instance: string }
  /** Starting went wrong in a way the plugin or the loader could explain. */
  | { readonly type: "failed"; readonly code: ErrorCode; readonly message: string }
  /** The main thread is alive. */
  | { readonly type: "beat" };

/** How often a service host says that it is alive. */
export const BEAT_INTERVAL_MS = 500;

/** Where a child finds its end of the channel: after the standard streams. */
export const CHANNEL_FD = 3;

/** The first inherited descriptor. */
export const FIRST_INHERITED_FD = 4;

/** What a service host inherits, in this order, before its files. */
export const SLOTS_FD = FIRST_INHERITED_FD;
/** Where it knocks when a job has ended and the gateway sleeps. */
export const BELL_FD = FIRST_INHERITED_FD + 1;
export const FIRST_FILE_FD = FIRST_INHERITED_FD + 2;
