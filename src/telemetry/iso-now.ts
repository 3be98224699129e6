let lastMs = Number.NaN;
let lastText = "";

/** The time as ISO 8601 in UTC. Many lines are written in the same millisecond, and writing it out takes longer than a look at the clock. */
export function isoNow(): string {
  const nowMs = Date.now();
  if (nowMs !== lastMs) {
    lastMs = nowMs;
    lastText = new Date(nowMs).toISOString();
  }
  return lastText;
}
