import { SignetError } from "../../errors.ts";

/** Areas, in the order they are examined and shown. */
export const areas = [
  ...(["license", "host", "clock", "ledger", "audit", "libraries", "GPU", "access", "network"] as const),
  ...(["files", "disk", "kernel", "runtime", "systemd"] as const),
];
export type Area = (typeof areas)[number];

/** One thing that was looked at. Texts are for people and safe to paste; nothing in them is secret. */
export interface DoctorFinding {
  readonly area: Area;
  /** A short stable name of what was looked at, unique within its area. */
  readonly check: string;
  /** note: works, but somebody should know; problem: does not work, or will not for long. */
  readonly level: "ok" | "note" | "problem";
  readonly found: string;
  /** What to do; null where there is nothing to do. */
  readonly next: string | null;
}

/** The findings of one area as they are made. */
export class Findings {
  readonly list: DoctorFinding[] = [];
  readonly #area: Area;

  constructor(area: Area) {
    this.#area = area;
  }

  ok(check: string, found: string): void {
    this.list.push({ area: this.#area, check, level: "ok", found, next: null });
  }

  note(check: string, found: string, next: string | null): void {
    this.list.push({ area: this.#area, check, level: "note", found, next });
  }

  problem(check: string, found: string, next: string): void {
    this.list.push({ area: this.#area, check, level: "problem", found, next });
  }

  /** A failure with a code of the catalogue; its next step is there. */
  error(check: string, thrown: unknown): void {
    const error = SignetError.from(thrown);
    this.problem(check, `${error.code}: ${error.message}`, error.next);
  }

  /** What `act` returns; where it throws, the error becomes the finding. */
  async attempt<T>(check: string, act: () => T | Promise<T>): Promise<T | null> {
    try {
      return await act();
    } catch (error) {
      this.error(check, error);
      return null;
    }
  }
}
