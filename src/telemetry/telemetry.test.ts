import { createSecretKey, generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Writable } from "node:stream";
import { inspect } from "node:util";
import { describe, expect, onTestFinished, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { SignetError } from "../errors.ts";
import { MAX_WAITING_BYTES } from "./line-file.ts";
import { createLog, type Log } from "./log.ts";
import { openRunLog, type RunRecord } from "./run-log.ts";
import { Secret } from "./secret.ts";

const attack = attacksOn("logs and tickets");

const secretText = "sgn_topsecret";

function useLog(format: "json" | "pretty" = "json"): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const destination = new Writable({
    write(chunk, _, done) {
      lines.push(String(chunk));
      done();
    },
  });
  return { log: createLog({ level: "info", format, destination }), lines };
}

describe("a secret", () => {
  const secret = new Secret(secretText);

  test(
    "is not shown by printing, joining, inspecting, serializing, spreading or cloning",
    attack("has a secret printed by mistake", "8 ways to print a value"),
    () => {
      const shown = [
        String(secret),
        `${secret}`,
        [secret].join(),
        inspect(secret, { showHidden: true, depth: 9 }),
        inspect({ inside: [secret] }, { depth: 9 }),
        JSON.stringify({ secret }),
        JSON.stringify({ ...secret }),
        JSON.stringify(structuredClone({ ...secret })),
      ];
      expect(shown.join("\n")).not.toContain(secretText);
      observed(`not shown in any of ${shown.length} ways`);
    },
  );

  test("is given to who asks for it by name", () => {
    expect(secret.reveal()).toBe(secretText);
  });
});

describe("the log", () => {
  test(
    "hides secrets by type, wherever they are",
    attack("reads keys in the log", "Secret and key objects, however deep"),
    () => {
      const { log, lines } = useLog();
      const { privateKey } = generateKeyPairSync("ed25519");
      log.info({ a: new Secret(secretText), b: { c: [privateKey, createSecretKey(Buffer.from(secretText))] } }, "made");
      log.child({ bound: new Secret(secretText) }).info("made");
      expect(lines.join("")).not.toContain(secretText);
      expect(JSON.parse(lines[0]!)).toMatchObject({ a: "[secret]", b: { c: ["[secret]", "[secret]"] } });
      expect(JSON.parse(lines[1]!)).toMatchObject({ bound: "[secret]" });
      observed("they are shown as [secret]");
    },
  );

  test(
    "hides secrets by well-known names, however written and however deep",
    attack("reads tokens in the log", "authorization, private_key, passphrase, token"),
    () => {
      const { log, lines } = useLog();
      log.info(
        {
          headers: { Authorization: `Bearer ${secretText}` },
          x: { y: { private_key: secretText, passphrase: secretText } },
        },
        "m",
      );
      log.child({ token: secretText }).child({ Password: secretText }).info("m");
      expect(lines.join("")).not.toContain(secretText);
      observed("they are not in the log");
    },
  );

  test(
    "shows how many bytes there were, never the bytes",
    attack("reads tensors in the log", "a buffer that is logged"),
    () => {
      const { log, lines } = useLog();
      log.info({ tensor: { data: Buffer.from(secretText) } }, "received");
      expect(JSON.parse(lines[0]!).tensor).toEqual({ data: `[${secretText.length} bytes]` });
      observed("their number is shown, and no byte");
    },
  );

  test("shows an error's code, words and cause", () => {
    const { log, lines } = useLog();
    log.error(
      new SignetError("PLUGIN_FAILED", "bad tensor", { cause: new Error("inner", { cause: new Secret(secretText) }) }),
    );
    const { err } = JSON.parse(lines[0]!);
    expect(err).toMatchObject({
      code: "PLUGIN_FAILED",
      message: "bad tensor",
      cause: { message: "inner", cause: "[secret]" },
    });
  });

  test("survives cycles, depth, breadth and what JSON does not know", () => {
    const { log, lines } = useLog();
    const cycle: Record<string, unknown> = {
      big: 2n ** 64n,
      many: new Array(1e6).fill(1),
      map: new Map([["token", secretText]]),
    };
    cycle.self = cycle;
    log.info({ cycle }, "strange");
    expect(JSON.parse(lines[0]!).cycle).toMatchObject({ big: "18446744073709551616", map: { token: "[secret]" } });
    expect(lines[0]!.length).toBeLessThan(10_000);
  });

  test("is one line of JSON with time and level in words", () => {
    const { log, lines } = useLog();
    log.debug("not written at this level");
    log.warn({ service: "ocr" }, "first\nsecond");
    expect(lines).toHaveLength(1);
    expect(lines[0]!.indexOf("\n")).toBe(lines[0]!.length - 1);
    expect(JSON.parse(lines[0]!)).toEqual({
      level: "warn",
      time: expect.stringMatching(/T.*Z$/),
      service: "ocr",
      msg: "first\nsecond",
    });
  });

  test("is readable where a person reads", () => {
    const { log, lines } = useLog("pretty");
    log.info({ token: secretText, services: ["ocr", "asr"], reason: "two words" }, "hello");
    expect(lines.join("")).toMatch(/^\[\d{4}-\d\d-\d\d .*INFO.*hello .*services=ocr,asr reason="two words"\n$/);
    expect(lines.join("")).not.toContain(secretText);
  });
});

describe("the log for people", () => {
  test("says an error's code, words and cause in its line, and the stack of what nobody foresaw", () => {
    const { log, lines } = useLog("pretty");
    const error = new SignetError("PLUGIN_FAILED", "bad tensor", { cause: new SignetError("USAGE", "inner") });
    log.error({ err: error, service: "ocr" }, "refused");
    log.error({ err: new Error("unforeseen") }, "failed");
    expect(lines[0]).toMatch(/ERROR.*refused service=ocr PLUGIN_FAILED: bad tensor; because USAGE: inner\n$/);
    expect(lines[1]).toMatch(/failed unforeseen\n[\s\S]*telemetry\.test\.ts/);
  });

  test(
    "shows control characters of a plugin's output instead of obeying them",
    attack("takes over the terminal of who reads the log", "escape sequences in a plugin's output"),
    () => {
      const { log, lines } = useLog("pretty");
      const hostile = "a\u001b[2J\nb\u009b1m";
      log.info({ line: hostile, err: new Error(hostile) }, hostile);
      expect(lines.join("").replaceAll("\n", "")).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
      expect(lines[0]).toMatch(/^\[[^\n]*line=[^\n]*b\\u009b1m\n/);
      observed("they are shown as text");
    },
  );
});

describe("the run log", () => {
  const record: RunRecord = {
    time: "2030-01-01T00:00:00.000Z",
    service: "ocr",
    version: "1",
    jobId: "j1",
    client: "web",
    peer: "192.0.2.1",
    durationMs: 3,
    queueMs: 1,
    outcome: "OK",
    charged: true,
    runsLeft: null,
  };

  function useRunLog() {
    const directory = mkdtempSync(join(tmpdir(), "signet-runs-"));
    const file = join(directory, "log", "runs.jsonl");
    const { log, lines } = useLog();
    const runs = openRunLog(file, log);
    onTestFinished(async () => {
      await runs.close();
      rmSync(directory, { recursive: true });
    });
    return { directory, file, runs, lines };
  }

  const jobsIn = (file: string) =>
    readFileSync(file, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).jobId);

  test("has one line per job, in order, for its owner alone", async () => {
    const { file, runs } = useRunLog();
    for (let job = 0; job < 1000; job++) runs.append({ ...record, jobId: `j${job}` });
    await runs.flush();
    runs.append({ ...record, jobId: "last" });
    await runs.close();
    expect(statSync(dirname(file)).mode & 0o777).toBe(0o700);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(jobsIn(file)).toEqual([...Array.from({ length: 1000 }, (_, job) => `j${job}`), "last"]);
  });

  test("begins a new line after one that was cut off", async () => {
    const { file, runs } = useRunLog();
    mkdirSync(dirname(file));
    writeFileSync(file, '{"jobId":"whole"}\n{"jobId":"cut o');
    runs.append({ ...record, jobId: "first" });
    runs.append({ ...record, jobId: "second" });
    await runs.flush();
    const lines = readFileSync(file, "utf8").trimEnd().split("\n");
    expect(lines.length).toBe(4);
    expect([lines[0]!, lines[2]!, lines[3]!].map((line) => JSON.parse(line).jobId)).toEqual([
      "whole",
      "first",
      "second",
    ]);
  });

  test("goes on in a new file after the old one was renamed", async () => {
    const { file, runs } = useRunLog();
    runs.append({ ...record, jobId: "old" });
    await runs.flush();
    renameSync(file, `${file}.1`);
    runs.append({ ...record, jobId: "between" });
    await runs.flush();
    runs.reopen();
    runs.append({ ...record, jobId: "new" });
    await runs.flush();
    expect(jobsIn(`${file}.1`)).toEqual(["old", "between"]);
    expect(jobsIn(file)).toEqual(["new"]);
  });

  test("that cannot be written says so once, fails nothing, and goes on when it can", async () => {
    const { file, runs, lines } = useRunLog();
    mkdirSync(file, { recursive: true }); // a directory in the file's place: EISDIR, also for root
    for (let round = 0; round < 3; round++) {
      runs.append(record);
      await runs.flush();
    }
    expect(lines.map((line) => JSON.parse(line).level)).toEqual(["error"]);
    rmSync(file, { recursive: true });
    runs.append({ ...record, jobId: "after" });
    await runs.flush();
    expect(jobsIn(file)).toEqual(["after"]);
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([{ level: "error" }, { level: "info", lost: 3 }]);
  });

  test("keeps a bounded number of lines while the disk stands still", async () => {
    const { file, runs } = useRunLog();
    const line = { ...record, jobId: "x".repeat(1024 * 1024) };
    for (let job = 0; job < 50; job++) runs.append(line); // nothing is written before the event loop turns
    await runs.flush();
    expect(readFileSync(file).length).toBeLessThanOrEqual(MAX_WAITING_BYTES);
  });
});
