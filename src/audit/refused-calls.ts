import type { AuditEntry } from "./audit-record.ts";

export interface RefusedCall {
  readonly code: string;
  /** Name of the identity; null where there was none. */
  readonly identity: string | null;
  /** Address of the client, without its port. */
  readonly peer: string;
}

/** Lines of one second; calls of further identities and peers are counted together. */
export const MAX_LINES = 32;
const FLUSH_MS = 1000;

interface Count {
  readonly call: RefusedCall;
  calls: number;
}

/**
 * Refused calls, counted: one line for each code, identity and peer in a second, and never more than MAX_LINES, so
 * that a client cannot flood the log, whatever it sends from however many addresses.
 */
export class RefusedCalls {
  /** By code, since the beginning. */
  readonly totals = new Map<string, number>();
  readonly #record: (entries: AuditEntry[]) => void;
  readonly #counts = new Map<string, Count>();
  #others = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(record: (entries: AuditEntry[]) => void) {
    this.#record = record;
  }

  add(call: RefusedCall): void {
    this.totals.set(call.code, (this.totals.get(call.code) ?? 0) + 1);
    const key = `${call.code} ${call.peer} ${call.identity}`;
    const count = this.#counts.get(key);
    if (count) count.calls++;
    else if (this.#counts.size < MAX_LINES) this.#counts.set(key, { call, calls: 1 });
    else this.#others++;
    this.#timer ??= setTimeout(() => this.flush(), FLUSH_MS).unref();
  }

  /** Hands over what was counted. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const entries = [...this.#counts.values()].map(({ call, calls }): AuditEntry => {
      return { event: "call.refused", code: call.code, detail: { identity: call.identity, peer: call.peer, calls } };
    });
    if (this.#others > 0) {
      entries.push({ event: "call.refused", detail: { identity: null, peer: "others", calls: this.#others } });
    }
    this.#counts.clear();
    this.#others = 0;
    if (entries.length > 0) this.#record(entries);
  }
}
