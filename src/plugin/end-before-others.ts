import { readFileSync, writeFileSync } from "node:fs";

/**
 * What the kernel, when it has no memory left and looks for whom to end, adds to a plugin's process: half of the
 * machine's memory. What a plugin holds in memory files counts for nobody, and must not cost the gateway its life.
 */
const SCORE = 500;
const PLACE = "/proc/self/oom_score_adj";

/** This process, and what it becomes and starts, is ended before others. It may be so already, or stay as it is. */
export function endBeforeOthers(): void {
  try {
    if (Number(readFileSync(PLACE, "utf8")) < SCORE) writeFileSync(PLACE, `${SCORE}`);
  } catch {
    // A container, or bubblewrap, where it was done before, can have this read-only.
  }
}

/** The same as a command of the shell. */
export const endBeforeOthersCommand = `read -r score <${PLACE} && [ "$score" -ge ${SCORE} ] || echo ${SCORE} >${PLACE}`;
