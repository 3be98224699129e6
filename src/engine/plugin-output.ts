import type { Readable } from "node:stream";

/** What one line of the log takes of a plugin's line. */
const MAX_LINE_CHARACTERS = 2_000;
/** A plugin that says more is chattering or hostile; the log's disk is not its to fill. */
const MAX_LINES_PER_SECOND = 100;
/** Reading takes time that other services need too: who writes more waits for the next second. */
const MAX_CHARACTERS_PER_SECOND = 1024 * 1024;
/** A piece of this length may be followed by more that was there already; after a shorter one there was nothing left. */
const LONG_PIECE = 16 * 1024;

/** A line, and what is known of where it comes from. */
export interface OutputLine {
  readonly line: string;
  /** Lines before it that were left out; the line says so. */
  readonly dropped: number;
  /** It was not there to be read yet at this time, on the clock of performance.now(). */
  readonly notBeforeMs: number;
}

/**
 * Cuts what a plugin writes into lines, bounded in length and number. A line without end is cut too, so that it
 * cannot fill the memory; of lines beyond the limit only their number is passed on.
 */
export function forwardLines(
  readable: Readable,
  onLine: (line: OutputLine) => void,
  nowMs: () => number = () => performance.now(),
): void {
  let rest = "";
  let secondEndsMs = 0;
  let linesThisSecond = 0;
  let dropped = 0;
  let charactersThisSecond = 0;
  let notBeforeMs = Number.NEGATIVE_INFINITY;
  const lookAtClock = () => {
    if (nowMs() < secondEndsMs) return;
    reportDropped();
    secondEndsMs = nowMs() + 1000;
    linesThisSecond = 0;
    charactersThisSecond = 0;
  };
  const pass = (line: string) => {
    if (line === "") return;
    lookAtClock();
    linesThisSecond++;
    if (linesThisSecond > MAX_LINES_PER_SECOND) dropped++;
    else onLine({ line: line.slice(0, MAX_LINE_CHARACTERS), dropped: 0, notBeforeMs });
  };
  const reportDropped = () => {
    const line = `(${dropped} more lines within a second were left out)`;
    if (dropped > 0) onLine({ line, dropped, notBeforeMs });
    dropped = 0;
  };
  readable.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    if (rest.length > MAX_LINE_CHARACTERS) {
      lines.push(rest);
      rest = "";
    }
    for (const line of lines) pass(line);
    lookAtClock();
    if (text.length < LONG_PIECE) notBeforeMs = nowMs();
    charactersThisSecond += text.length;
    if (charactersThisSecond < MAX_CHARACTERS_PER_SECOND || readable.isPaused()) return;
    readable.pause();
    setTimeout(() => readable.resume(), secondEndsMs - nowMs());
  });
  readable.on("end", () => {
    pass(rest);
    reportDropped();
  });
}
