import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { closeOthersOnExec, findNvml, type GpuReading, gpuReadingSchema, noGpus } from "../plugin/index.ts";

/** A driver that has to wake several GPUs takes some seconds for each. */
const TIMEOUT_MS = 30_000;
const MAX_ANSWER_BYTES = 64 * 1024;

export interface ReadGpusOptions {
  /** Another root, for tests and for a host's file systems mounted into a container. */
  readonly root?: string;
  /** Default 30,000. */
  readonly timeoutMs?: number;
}

/**
 * Asks NVIDIA's driver for its GPUs, in a process of its own: a driver in trouble may hang, or end whoever asks it.
 * Without a driver no process is started. Never rejects; `reason` says what is amiss.
 */
export async function readGpus({ root = "/", timeoutMs = TIMEOUT_MS }: ReadGpusOptions = {}): Promise<GpuReading> {
  const library = findNvml(root);
  if (library.path === null) return noGpus(library.reason);
  closeOthersOnExec();
  const program = fileURLToPath(new URL("./host/gpus.ts", import.meta.url));
  const child = spawn(process.execPath, ["--disable-sigusr1", program, library.path], {
    // Nothing of this process's: LD_LIBRARY_PATH and LD_PRELOAD would decide what the library brings in.
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C.UTF-8" },
    cwd: "/",
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  const answer = child.stdio[3] as Readable;
  const { promise, resolve } = Promise.withResolvers<GpuReading>();
  const chunks: Buffer[] = [];
  let bytes = 0;
  answer.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= MAX_ANSWER_BYTES) chunks.push(chunk);
  });
  const timer = setTimeout(() => {
    // Even SIGKILL does not end a process that the kernel holds inside the driver, so it is not waited for.
    child.kill("SIGKILL");
    child.unref();
    answer.destroy();
    resolve(noGpus(`the NVIDIA driver did not answer within ${timeoutMs / 1000} s`));
  }, timeoutMs);
  child.once("error", (error) => resolve(noGpus(`the NVIDIA driver could not be asked: ${error.message}`)));
  child.once("close", (_, signal) => resolve(parseAnswer(Buffer.concat(chunks).toString("utf8"), signal)));
  return promise.finally(() => clearTimeout(timer));
}

function parseAnswer(text: string, signal: NodeJS.Signals | null): GpuReading {
  try {
    return gpuReadingSchema.parse(JSON.parse(text));
  } catch {
    const how = signal === null ? "without an answer" : `by ${signal}`;
    return noGpus(`the NVIDIA driver's library ended the process that asked it ${how}`);
  }
}
