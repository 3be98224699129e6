import type { RunningJob } from "../engine/index.ts";

interface Pulse {
  /** All that a plugin says of its progress, as it was when it last moved. */
  readonly said: string;
  readonly sinceMs: number;
  isStuck: boolean;
}

/** Looks at the progress of a service's running jobs, and finds those that stand still. */
export class HeartbeatWatch {
  #pulses = new Map<RunningJob, Pulse>();

  /**
   * @param running jobs of a plugin that declares progress; others never stand still
   * @param stuckAfterMs 0 for never
   * @param nowMs on the clock of performance.now()
   * @returns those that are found to stand still now, and were not before
   */
  look(running: readonly RunningJob[], stuckAfterMs: number, nowMs: number): RunningJob[] {
    const pulses = new Map<RunningJob, Pulse>();
    const found: RunningJob[] = [];
    for (const job of running) {
      const { progress } = job;
      if (progress === undefined) continue;
      const said = `${progress.heartbeat} ${progress.permille} ${progress.stage}`;
      const before = this.#pulses.get(job);
      const pulse = before?.said === said ? before : { said, sinceMs: nowMs, isStuck: false };
      pulses.set(job, pulse);
      if (stuckAfterMs === 0 || pulse.isStuck || nowMs - pulse.sinceMs < stuckAfterMs) continue;
      pulse.isStuck = true;
      found.push(job);
    }
    this.#pulses = pulses;
    return found;
  }

  /** Jobs that stood still when it was last looked. */
  get stuck(): number {
    let stuck = 0;
    for (const { isStuck } of this.#pulses.values()) if (isStuck) stuck++;
    return stuck;
  }
}
