import { type ErrorCode, SignetError } from "../../errors.ts";
import type { Store } from "../store.ts";

/** What the gateway and the thread of its SQLite store say to each other. */

/** A verb of the store; `close` is the last. */
export interface VerbRequest {
  readonly id: number;
  readonly verb: keyof Store;
  readonly parameters: readonly unknown[];
}

export type VerbReply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: ThreadError };

/** What the thread begins with: whether it could open the store. */
export type ThreadStart = { readonly open: true } | { readonly error: ThreadError };

/** A SignetError between threads, which would lose its class and code. */
export interface ThreadError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly cause: unknown;
}

/** Every verb, so that the proxy has neither one too many nor one too few. */
export const verbs = Object.keys({
  submit: true,
  claim: true,
  place: true,
  renew: true,
  complete: true,
  fail: true,
  confirmCancelled: true,
  giveBack: true,
  cancel: true,
  get: true,
  inputs: true,
  outputs: true,
  events: true,
  list: true,
  load: true,
  ahead: true,
  charges: true,
  sweep: true,
  failQueued: true,
  prune: true,
  unused: true,
  registerHost: true,
  reserve: true,
  release: true,
  free: true,
  close: true,
} satisfies Record<keyof Store, true>) as readonly (keyof Store)[];

export function threadErrorFrom(thrown: unknown): ThreadError {
  const { code, message, cause } = SignetError.from(thrown);
  return { code, message, cause: cause instanceof Error ? cause.message : undefined };
}

export function signetErrorFrom({ code, message, cause }: ThreadError): SignetError {
  return new SignetError(code, message, { cause });
}
