import { readdirSync, readFileSync } from "node:fs";
import { openParentChannel } from "../channel.ts";
import type { CheckTask, FindingLevel, FromCheck } from "../check-protocol.ts";

/** How a scenario tells what it tries and finds; each try is said first, because it may be the last thing said. */
export class CheckReport {
  #check = "starting";

  async trying(check: string): Promise<void> {
    this.#check = check;
    await tell({ type: "trying", check });
  }

  ok(found: string): Promise<void> {
    return this.#find("ok", found);
  }

  warn(found: string): Promise<void> {
    return this.#find("warn", found);
  }

  fail(found: string): Promise<void> {
    return this.#find("fail", found);
  }

  skip(found: string): Promise<void> {
    return this.#find("skip", found);
  }

  /** One "ok", or one "fail" that names every problem. */
  verdict(problems: readonly string[], found: string): Promise<void> {
    return problems.length === 0 ? this.ok(found) : this.fail([...new Set(problems)].join("; "));
  }

  #find(level: FindingLevel, found: string): Promise<void> {
    return tell({ type: "finding", finding: { level, check: this.#check, found } });
  }
}

const task = Promise.withResolvers<CheckTask>();

const channel = openParentChannel<FromCheck>({
  onMessage: (message) => task.resolve(message as CheckTask),
  onBroken: dieAtOnce,
  // Whoever asked is gone; a scenario stuck in native code is ended by the parent itself.
  onEnd: dieAtOnce,
});

/** What to try. */
export function receiveTask(): Promise<CheckTask> {
  return task.promise;
}

/** Resolves when the message is on its way, which a crash right after can no longer stop. */
export function tell(message: FromCheck): Promise<void> {
  return new Promise((resolve) => channel.send(message, resolve));
}

function dieAtOnce(): void {
  process.kill(process.pid, "SIGKILL");
}

/** Private memory of this process in bytes, after a garbage collection. */
export function ownMemoryBytes(): number {
  globalThis.gc?.();
  return ownStatus(/^RssAnon:\s+(\d+) kB$/m, 10) * 1024;
}

/** The signals this process has handlers for, one bit each. */
export function caughtSignals(): bigint {
  const match = /^SigCgt:\s+([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"));
  return BigInt(`0x${match?.[1] ?? "0"}`);
}

export function threadCount(): number {
  return readdirSync("/proc/self/task").length;
}

function ownStatus(pattern: RegExp, radix: number): number {
  const match = pattern.exec(readFileSync("/proc/self/status", "utf8"));
  return match ? Number.parseInt(match[1]!, radix) : 0;
}
