import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { expect, onTestFinished, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { dataDirectory, type LogKeeping } from "../config/index.ts";
import { createLog } from "../telemetry/index.ts";
import type { LogLine } from "./log-line.ts";
import { LogMonitor, type LogScope, type PluginOutput } from "./log-monitor.ts";

const attack = attacksOn("logs and tickets");
const everything: LogScope = { services: ["ocr", "asr"], platform: "all" };

function useLogs(keeping: LogKeeping = { maxMiB: 1, files: 2 }) {
  const data = dataDirectory(mkdtempSync(join(tmpdir(), "signet-logs-")));
  const printed: string[] = [];
  const destination = new Writable({
    write(line, _, done) {
      printed.push(String(line));
      done();
    },
  });
  const log = createLog({ level: "info", format: "json", destination });
  const logs = new LogMonitor({ data, keeping, log });
  onTestFinished(async () => {
    await logs.close();
    rmSync(data.root, { recursive: true });
  });
  return { data, log, logs, printed };
}

function output(line: string, more: Partial<PluginOutput> = {}): PluginOutput {
  return { stream: "stdout", line, pid: 7, jobs: [], dropped: 0, ...more };
}

const textsOf = (lines: readonly LogLine[]) => lines.map(({ service, text }) => `${service} ${text}`);

test("lines of services and of the server are found by what they are and say, oldest first", async () => {
  const { logs, log } = useLogs();
  logs.takeOutput("ocr", output("loading model", { stream: "stderr" }));
  logs.takeOutput("ocr", output("page ONE", { jobs: ["j1"] }));
  logs.takeOutput("asr", output("page two", { jobs: ["j1", "j2"] }));
  log.warn({ service: "ocr" }, "its process ended");
  log.info("nobody's line");
  const found = async (filter: object, scope = everything) =>
    textsOf((await logs.search(scope, filter, 100)).lines).sort();

  expect(await found({ job: "j1" })).toEqual(["asr page two", "ocr page ONE"]);
  expect(await found({ job: "j2" })).toEqual(["asr page two"]);
  expect(await found({ stream: "stderr" })).toEqual(["ocr loading model"]);
  expect(await found({ level: "warn" })).toEqual(["ocr its process ended service=ocr"]);
  expect(await found({ text: "PAGE" })).toEqual(["asr page two", "ocr page ONE"]);
  expect(await found({ since: "2999-01-01T00:00:00.000Z" })).toEqual([]);
  expect(await found({}, { services: ["ocr"], platform: ["ocr"] })).toEqual([
    "ocr its process ended service=ocr",
    "ocr loading model",
    "ocr page ONE",
  ]);
  expect(await found({}, { services: [], platform: [] })).toEqual([]);
  const { lines, isCut } = await logs.search({ services: ["ocr"], platform: [] }, {}, 1);
  expect([textsOf(lines), isCut]).toEqual([["ocr page ONE"], true]);
});

test("a search goes back through rotated files, however a line lies across what is read at a time", async () => {
  const { logs } = useLogs({ maxMiB: 1, files: 3 });
  const filler = "ä".repeat(900);
  for (let number = 0; number < 1500; number++) logs.takeOutput("ocr", output(`${number} ${filler}`));
  const { lines, isCut } = await logs.search({ services: ["ocr"], platform: [] }, {}, 2000);
  expect(isCut).toBe(false);
  // What is kept has no gap: the newest lines, each as it was.
  expect(lines.length).toBeGreaterThan(1000);
  expect(lines.map(({ text }) => text)).toEqual(
    Array.from({ length: lines.length }, (_, index) => `${1500 - lines.length + index} ${filler}`),
  );
});

test("a tail tells of what fits from then on, until it is ended", () => {
  const { logs, log } = useLogs();
  const told: string[] = [];
  logs.takeOutput("ocr", output("before"));
  const end = logs.tail({ services: ["ocr"], platform: ["ocr"] }, {}, ({ text }) => told.push(text));
  logs.takeOutput("ocr", output("first"));
  logs.takeOutput("asr", output("another's"));
  log.error({ service: "ocr" }, "about it");
  log.error({ service: "asr" }, "about another");
  end();
  logs.takeOutput("ocr", output("after"));
  expect(told).toEqual(["first", "about it service=ocr"]);
});

test("a plugin's line is in its own file and in the log, but pushes nothing out of the server's file", async () => {
  const { logs, printed, data, log } = useLogs();
  log.info("started");
  logs.takeOutput("ocr", output("hello"));
  await logs.search(everything, {}, 1);
  expect(printed.map((line) => JSON.parse(line).msg)).toEqual(["started", "plugin output"]);
  expect(readFileSync(data.platformLogFile, "utf8").trim().split("\n")).toHaveLength(1);
});

test(
  "what a plugin prints of secrets is hidden, and only its owner reads the files",
  attack("reads tokens in a service's log", "a plugin that prints what it was given"),
  async () => {
    const { logs, printed, data } = useLogs();
    logs.takeOutput("ocr", output("password=hunter2"));
    const { lines } = await logs.search(everything, {}, 10);
    const file = join(data.serviceLogsDir, "ocr.jsonl");
    expect(JSON.stringify(lines) + printed.join("") + readFileSync(file, "utf8")).not.toContain("hunter2");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    observed("hidden in the file, the log and the answer");
  },
);

test(
  "a name that somebody made up becomes no path",
  attack("reads other files through the log", "../ in a service's name"),
  async () => {
    const { logs } = useLogs();
    logs.takeOutput("ocr", output("hello"));
    for (const name of ["../platform", "../../host/key", "ocr.jsonl", "", "__proto__"]) {
      const { lines } = await logs.search({ services: [name], platform: [] }, {}, 10);
      expect(lines).toEqual([]);
    }
    observed("nothing is found");
  },
);

test("what was left out of a flood is counted", () => {
  const { logs } = useLogs();
  logs.takeOutput("ocr", output("(900 more lines within a second were left out)", { dropped: 900 }));
  expect(logs.countsOf("ocr")).toEqual({ kept: 1, dropped: 900 });
  expect(logs.countsOf("asr")).toEqual({ kept: 0, dropped: 0 });
});
