import type { ErrorCode } from "../errors.ts";
import type { InheritedFile, InputPlace, RunReply } from "../plugin/index.ts";

/**
 * Everything the gateway and a service host say to each other, as JSON over the child's channel.
 * Tensor bytes never travel here; they lie in the shared slots.
 */

export type ToHost =
  /** First and once: load, create, start the worker threads. */
  | {
      readonly type: "start";
      readonly files: readonly InheritedFile[];
      readonly config: unknown;
      readonly threads: number;
      readonly slots: { readonly fd: number; readonly count: number; readonly bytes: number };
    }
  /** Run the job whose inputs lie in `slot`. Never more at a time than there are threads. */
  | {
      readonly type: "run";
      readonly id: number;
      readonly slot: number;
      readonly inputs: readonly InputPlace[];
      readonly outputsOffset: number;
    }
  /** Nothing runs any more: destroy the instance and end. */
  | { readonly type: "stop" };

export type FromHost =
  /** The plugin is loaded and its instance made. Both texts are the plugin's JSON, not yet believed. */
  | { readonly type: "ready"; readonly plugin: string; readonly instance: string }
  /** Starting went wrong in a way the plugin or the loader could explain. */
  | { readonly type: "failed"; readonly code: ErrorCode; readonly message: string }
  | { readonly type: "done"; readonly id: number; readonly reply: RunReply }
  /** The main thread is alive. */
  | { readonly type: "beat" };

/** How often a service host says that it is alive. */
export const BEAT_INTERVAL_MS = 500;

/** Where a child finds its end of the channel: after the standard streams. */
export const CHANNEL_FD = 3;

/** The first inherited descriptor. */
export const FIRST_INHERITED_FD = 4;
