import { readdirSync, readFileSync } from "node:fs";

/** A zombie has ended too; whoever takes in orphans here may not be quick to wait for it. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** What the threads of a process have started; nothing of one that has ended. */
export function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
}

/** Its children, what these have started, and so on. */
export function descendantsOf(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)]);
}

/** Stops a process, and waits until each of its threads stands still: one that runs may go on for a moment. */
export async function stopThreads(pid: number): Promise<void> {
  process.kill(pid, "SIGSTOP");
  const states = () =>
    readdirSync(`/proc/${pid}/task`).map((task) => {
      const status = readFileSync(`/proc/${pid}/task/${task}/status`, "utf8");
      return /^State:\s+(\w)/m.exec(status)?.[1];
    });
  while (states().some((state) => state !== "T")) await new Promise((resolve) => setTimeout(resolve, 1));
}
