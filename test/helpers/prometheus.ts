import { type ChildProcessWithoutNullStreams, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { onTestFinished } from "vitest";

const run = promisify(execFile);

/** A series that a query found. */
export interface Found {
  readonly metric: Readonly<Record<string, string>>;
  readonly value?: readonly [number, string];
  readonly histogram?: readonly [number, { readonly count: string; readonly buckets?: readonly unknown[] }];
}

/** The real Prometheus, from the files of Debian's package. */
export class Prometheus {
  readonly #address: string;

  constructor(address: string) {
    this.#address = address;
  }

  /** An instant query; empty where nothing is found. */
  async query(query: string): Promise<readonly Found[]> {
    const answer = await fetch(`http://${this.#address}/api/v1/query?${new URLSearchParams({ query })}`);
    const { status, data, error } = (await answer.json()) as PrometheusAnswer;
    if (status !== "success") throw new Error(`${query}: ${error}`);
    return data.result;
  }

  /** The number that a query with one answer gives; undefined where it gives none. */
  async value(query: string): Promise<number | undefined> {
    const [found] = await this.query(query);
    return found?.value === undefined ? undefined : Number(found.value[1]);
  }
}

interface PrometheusAnswer {
  readonly status: string;
  readonly error?: string;
  readonly data: { readonly result: readonly Found[] };
}

/** Starts it with a configuration and rules, in a directory of its own; it ends with the test. */
export async function usePrometheus(
  directory: string,
  config: { readonly text: string; readonly rules?: string },
  flags: readonly string[],
): Promise<Prometheus> {
  const home = mkdtempSync(join(tmpdir(), "signet-prometheus-"));
  writeFileSync(join(home, "prometheus.yml"), config.text);
  writeFileSync(join(home, "signet.rules.yml"), config.rules ?? "groups: []");
  const places = [`--config.file=${home}/prometheus.yml`, `--storage.tsdb.path=${home}/data`];
  const child = spawn(
    join(directory, "usr/bin/prometheus"),
    [...places, "--web.listen-address=127.0.0.1:0", "--log.level=info", ...flags],
    { env: { PATH: process.env.PATH }, stdio: "pipe" },
  );
  const ended = once(child, "close");
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await ended;
    rmSync(home, { recursive: true, force: true });
  });
  return new Prometheus(await listeningAddress(child));
}

async function listeningAddress(child: ChildProcessWithoutNullStreams): Promise<string> {
  child.stdout.resume();
  let said = "";
  for await (const line of createInterface({ input: child.stderr })) {
    said += `${line}\n`;
    const address = /msg="Listening on" address=(\S+)/.exec(line)?.[1];
    if (address === undefined) continue;
    child.stderr.resume();
    return address;
  }
  throw new Error(`Prometheus ended:\n${said}`);
}

/** What promtool finds wrong with a file; empty where nothing is. */
export async function promtool(directory: string, command: readonly string[], text: string): Promise<string> {
  const home = mkdtempSync(join(tmpdir(), "signet-promtool-"));
  try {
    const file = join(home, "file.yml");
    writeFileSync(file, text);
    await run(join(directory, "usr/bin/promtool"), [...command, file]);
    return "";
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return `${stdout}${stderr}`;
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
