import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Log } from "./log.ts";

/** A file of lines that is only ever appended to. */
export interface LineFile {
  /** Remembers the line, which has no end of its own, and writes it soon. Never waits; false where there is no room for it. */
  append(line: string): boolean;
  /** Opens the file anew, after logrotate has renamed it (SIGHUP). */
  reopen(): void;
  /** Resolves when everything appended so far is written, or has failed to be. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface LineFileOptions {
  readonly file: string;
  /** What it is, for complaints: `the run log`. */
  readonly what: string;
  readonly log: Log;
  /** Where that is absent, whoever runs the host rotates the file. */
  readonly rotation?: Rotation;
  /** How many lines could not be written. */
  readonly onLost?: (lines: number) => void;
}

export interface Rotation {
  /** Above this size another file is begun. */
  readonly maxBytes: number;
  /** How many there are, with the one that is written. */
  readonly files: number;
}

/** Under load lines are written together, this often: a write of a file takes two threads and several wake-ups. */
const WRITE_EVERY_MS = 20;
export const MAX_WAITING_BYTES = 8 * 1024 * 1024; // a stalled disk must not become a memory leak

/**
 * Opens nothing yet: the first line does. A failing disk costs lines, is logged once until it works again, and fails
 * nobody who appends.
 */
export function openLineFile({ file, what, log, rotation, onLost }: LineFileOptions): LineFile {
  let waiting: string[] = [];
  let waitingBytes = 0;
  let lost = 0;
  let failing = false;
  let handle: FileHandle | undefined;
  let size = 0;
  let stale = false;
  let writing: Promise<void> | undefined;
  let writtenAtMs = Number.NEGATIVE_INFINITY;

  function fail(cause: unknown, lines: number): void {
    lost += lines;
    onLost?.(lines);
    if (failing) return;
    failing = true;
    log.error({ err: cause, file }, `${what} cannot be written; all else goes on without it`);
  }

  async function writeWaiting(): Promise<void> {
    const lines = waiting;
    waiting = [];
    waitingBytes = 0;
    try {
      let mayBeTorn = failing;
      if (stale || handle === undefined) {
        mayBeTorn = true;
        await openAnew();
      }
      for (const text of rotation ? piecesOf(lines, rotation.maxBytes) : [lines.join("")]) {
        if (rotation && size > 0 && size + Buffer.byteLength(text) > rotation.maxBytes) {
          await rotate(file, rotation.files);
          await openAnew();
          mayBeTorn = false;
        }
        const begin = mayBeTorn && (await endsInMidLine(handle!)) ? "\n" : "";
        mayBeTorn = false;
        if (text !== "") await handle!.appendFile(begin + text);
        size += Buffer.byteLength(begin + text);
      }
      if (failing) log.info({ file, lost }, `${what} can be written again`);
      failing = false;
      lost = 0;
    } catch (cause) {
      fail(cause, lines.length);
    }
  }

  async function openAnew(): Promise<void> {
    stale = false;
    await handle?.close();
    handle = undefined;
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    handle = await open(file, "a+", 0o600);
    ({ size } = await handle.stat());
  }

  /** At the end of this turn, so that what comes together becomes one write, or some time after the last one. */
  function untilDue(): Promise<void> {
    const waitMs = writtenAtMs + WRITE_EVERY_MS - performance.now();
    return new Promise((resolve) => {
      if (waitMs > 0) setTimeout(resolve, waitMs);
      else setImmediate(resolve);
    });
  }

  function start(): Promise<void> {
    writing ??= untilDue()
      .then(writeWaiting)
      .finally(() => {
        writtenAtMs = performance.now();
        writing = undefined;
        if (waiting.length > 0 || stale) void start(); // what came meanwhile
      });
    return writing;
  }

  return {
    append(line) {
      const ended = `${line}\n`;
      if (waitingBytes + ended.length > MAX_WAITING_BYTES) {
        fail(new Error("the disk does not keep up"), 1);
        return false;
      }
      waiting.push(ended);
      waitingBytes += ended.length;
      void start();
      return true;
    },
    reopen() {
      stale = true;
      void start();
    },
    async flush() {
      while (writing !== undefined) await writing;
    },
    async close() {
      await this.flush();
      await handle?.close();
      handle = undefined;
    },
  };
}

/** Of the file itself, which is number 0, and of those before it: `runs.jsonl`, `runs.jsonl.1` and so on. */
export function rotatedName(file: string, number: number): string {
  return number === 0 ? file : `${file}.${number}`;
}

/** Moves each file to the next number; the last one goes. */
async function rotate(file: string, files: number): Promise<void> {
  await rm(rotatedName(file, files - 1), { force: true });
  for (let number = files - 2; number >= 0; number--) {
    await rename(rotatedName(file, number), rotatedName(file, number + 1)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
  }
}

/** Lines that are written at once, none of it larger than a file may be unless a single line is. */
function piecesOf(lines: readonly string[], maxBytes: number): string[] {
  const pieces: string[] = [];
  let piece: string[] = [];
  let bytes = 0;
  for (const line of lines) {
    const more = Buffer.byteLength(line);
    if (bytes > 0 && bytes + more > maxBytes) {
      pieces.push(piece.join(""));
      piece = [];
      bytes = 0;
    }
    piece.push(line);
    bytes += more;
  }
  return [...pieces, piece.join("")];
}

/** A write that kill -9 or a full disk cut off must not spoil the line after it. */
async function endsInMidLine(handle: FileHandle): Promise<boolean> {
  const { size } = await handle.stat();
  if (size === 0) return false;
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1);
  return buffer.toString() !== "\n";
}
