import type { JobInfo } from "../../../grpc/index.ts";
import { escapeControls, say } from "../../output.ts";
import { describeOutlook, describeState, formatPercent } from "./describe-job.ts";

const BAR_COLUMNS = 30;
/** Back to the beginning of the line, which is emptied. */
const AFRESH = "\r\u001b[2K";

/** Whether somebody looks on who can be shown a line that changes. */
export function isWatchedByPerson(): boolean {
  return process.stdout.isTTY === true && process.stderr.isTTY === true && process.env.TERM !== "dumb";
}

/** One line at the bottom of a terminal that says how far something is, for as long as it goes on. */
export class ProgressBar {
  #isDrawn = false;

  show(text: string): void {
    const columns = process.stderr.columns || 80;
    process.stderr.write(AFRESH + escapeControls(text).slice(0, columns - 1));
    this.#isDrawn = true;
  }

  /** A line above it; it is drawn again when there is more to show. */
  say(text: string): void {
    this.clear();
    say(text);
  }

  clear(): void {
    if (this.#isDrawn) process.stderr.write(AFRESH);
    this.#isDrawn = false;
  }
}

/** `[#############                 ]  43 %  stage 1, about 12 s left`. */
export function formatProgress(job: JobInfo): string {
  const outlook = describeOutlook(job);
  const { state, progressPermille: permille, cancelRequested } = job;
  if (state !== "running" || permille === 0 || cancelRequested) {
    return [describeState(job), outlook].filter((part) => part !== "").join("  ");
  }
  return `${formatBar(permille)}  ${outlook}`.trimEnd();
}

/** `[#############                 ]  43 %`. */
export function formatBar(permille: number): string {
  const done = Math.floor((permille * BAR_COLUMNS) / 1000);
  return `[${"#".repeat(done)}${" ".repeat(BAR_COLUMNS - done)}] ${formatPercent(permille).padStart(5)}`;
}
