import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { compileCrooked, compilePart, useDirectory } from "../../test/helpers/crooked.ts";
import { nativeLibrary, ocrModel } from "../../test/helpers/native.ts";
import { SealedFiles } from "../plugin/index.ts";
import { runCheckProcess } from "./check-process.ts";
import type { Scenario } from "./check-protocol.ts";
import { checkPlugin, type Finding } from "./index.ts";
import type { PluginCheckOptions } from "./plugin-check.ts";

function check(library: string, options: Partial<PluginCheckOptions> = {}): Promise<Finding[]> {
  return checkPlugin({ library, dependencies: [], models: [], config: {}, ...options });
}

/** One scenario in its process, of the crooked plugin with these faults. */
async function perform(scenario: Scenario, faults: readonly string[]): Promise<readonly Finding[]> {
  const directory = useDirectory();
  const library = compileCrooked(join(directory, "crooked.so"), { faults });
  const { fd } = new SealedFiles().sealUnchecked(library, "crooked.so");
  const task = { scenario, files: [{ name: "crooked.so", role: "library", fd }], configText: "{}" } as const;
  return (await runCheckProcess({ task, home: directory, tryTimeoutMs: 6_000 })).findings;
}

function named(findings: readonly Finding[], ...levels: Finding["level"][]): string[] {
  return findings.filter(({ level }) => levels.includes(level)).map(({ level, check: what }) => `${level} ${what}`);
}

describe("a library that keeps the contract", () => {
  test("the identity plugin has no failure and no warning", async () => {
    const findings = await check(nativeLibrary("identity"));
    expect(findings.filter(({ level }) => level !== "ok")).toEqual([]);
    expect(named(findings, "ok")).toContain("ok run by 2 threads at once");
  });

  test("the onnxruntime plugin with a real model has no failure, spoiled models included", async () => {
    const findings = await check(nativeLibrary("onnxruntime"), {
      dependencies: [nativeLibrary("onnxruntime").replace("libsignet_onnxruntime.so", "libonnxruntime.so.1")],
      models: [ocrModel("ch_ppocr_mobile_v2.0_cls_infer.onnx")],
    });
    expect(findings.filter(({ level }) => level === "fail")).toEqual([]);
    expect(named(findings, "ok")).toEqual(
      expect.arrayContaining(["ok create with noise for its model", "ok run with zeros", "ok files written to HOME"]),
    );
  });

  test("one that refuses zeros in words is not blamed", async () => {
    const findings = await check(nativeLibrary("faulty"));
    expect(named(findings, "fail")).toEqual([]);
    expect(named(findings, "skip")).toContain("skip run with zeros");
  });

  test("one that looks at its cancel word in a long run is seen to stop", async () => {
    const findings = await perform({ name: "stop", size: 1 }, ["RUN_SLOW"]);
    expect(named(findings, "ok", "fail", "warn", "skip")).toEqual(["ok cancel word"]);
  });
});

describe("what is no plugin", () => {
  test("a library of the system is loaded and found to be none", async () => {
    const directory = useDirectory();
    const findings = await check(compilePart(join(directory, "libpart.so.1"), "1"));
    expect(named(findings, "fail")).toEqual(["fail exported symbols", "fail entry point"]);
  });

  test.each([
    ["text", (path: string) => writeFileSync(path, "not a library")],
    ["nothing", (path: string) => writeFileSync(path, "")],
    ["the beginning of a library", (path: string) => truncateSync(compileCrooked(path), 5000)],
  ])("a file of %s is never loaded", async (_, make) => {
    const path = join(useDirectory(), "odd.so");
    make(path);
    expect(named(await check(path), "fail")).toEqual(["fail ELF of odd.so"]);
  });

  test("a directory is a finding, a path that leads nowhere is refused", async () => {
    const directory = useDirectory();
    mkdirSync(join(directory, "lib.so"));
    expect(named(await check(join(directory, "lib.so")), "fail")).toEqual(["fail sealing into memory"]);
    await expect(check(join(directory, "missing.so"))).rejects.toMatchObject({ code: "FILE_UNREADABLE" });
  });

  test("a dependency that was not given is found before anything is loaded", async () => {
    const directory = useDirectory();
    const part = compilePart(join(directory, "libpart.so.1"), "1");
    const library = compileCrooked(join(directory, "plugin.so"), { part, faults: ["LOAD_SEGV"] });
    expect(named(await check(library), "fail")).toEqual(["fail dependencies"]);
  });
});

describe("what breaks the contract", () => {
  test.each([
    ["LOAD_SEGV", "loading from sealed memory"],
    ["LOAD_EXIT", "loading from sealed memory"],
    ["LOAD_LOOP", "loading from sealed memory"],
    ["TABLE_NULL", "entry point"],
    ["ABI_VERSION", "entry point"],
    ["STRUCT_SIZE", "entry point"],
    ["RUN_NULL", "entry point"],
    ["DESCRIBE_SEGV", "describe(NULL) with plenty of room"],
    ["DESCRIBE_NO_JSON", "describe(NULL) content"],
  ])("%s ends the check with one failure, in: %s", async (fault, where) => {
    const library = compileCrooked(join(useDirectory(), "crooked.so"), { faults: [fault] });
    expect(named(await check(library, { tryTimeoutMs: 6_000 }), "fail")).toEqual([`fail ${where}`]);
  });

  test("a crash in one part is a finding, and every other part is still tried", async () => {
    const library = compileCrooked(join(useDirectory(), "crooked.so"), {
      faults: ["LOAD_HANDLER", "DESCRIBE_SMALL_OK", "CREATE_UNKNOWN_SEGV", "CREATE_ONCE", "RUN_EMPTY", "RUN_PROGRESS"],
    });
    expect(named(await check(library), "fail")).toEqual([
      "fail describe(NULL) with too little room",
      "fail signal handlers after loading",
      "fail create with an unknown configuration key",
      "fail create with a configuration that is not JSON",
      "fail describe(instance) with too little room",
      "fail a second instance beside the first",
      "fail progress and heartbeat",
      "fail run with no elements",
    ]);
  });

  const refusal = { name: "refusal", check: "create", configText: "[1]", spoiling: null } as const;
  test.each<[string, Scenario, string]>([
    ["DESCRIBE_OVERRUN", { name: "facts" }, "describe(NULL) with too little room"],
    ["DESCRIBE_NO_LENGTH", { name: "facts" }, "describe(NULL) with too little room"],
    ["CREATE_SILENT", refusal, "create"],
    ["CREATE_NO_NUL", refusal, "create"],
    ["CREATE_OVERRUN", refusal, "create"],
    ["CREATE_LEFT", refusal, "create"],
    ["CREATE_LOOP", { name: "instance" }, "create"],
    ["CREATE_SEGV", { name: "instance" }, "create"],
    ["DESTROY_SEGV", { name: "instance" }, "a second instance beside the first"],
    ["RUN_SEGV", { name: "run" }, "run with zeros"],
    ["RUN_LOOP", { name: "run" }, "run with zeros"],
    ["RUN_EXIT", { name: "run" }, "run with zeros"],
    ["RUN_DTYPE", { name: "run" }, "run with zeros"],
    ["RUN_SHAPE", { name: "run" }, "run with zeros"],
    ["RUN_SIZE", { name: "run" }, "run with zeros"],
    ["RUN_OVERRUN", { name: "run" }, "run with zeros"],
    ["RUN_ELSEWHERE", { name: "run" }, "run with zeros"],
    ["RUN_INPUT", { name: "run" }, "run with zeros"],
    ["RUN_FAIL_OWNER", { name: "run" }, "run with zeros"],
    ["RUN_FAIL_SILENT", { name: "run" }, "run with zeros"],
    ["RUN_OWNER", { name: "run" }, "outputs larger than the caller's room"],
    ["RUN_ROOM", { name: "run" }, "outputs larger than the caller's room"],
    ["RUN_NO_CANCEL", { name: "stop", size: 1 }, "cancel word"],
    ["RUN_RACE", { name: "threads", size: 1 }, "run by 2 threads at once"],
  ])("%s is found by scenario %j in: %s", async (fault, scenario, where) => {
    expect(named(await perform(scenario, [fault]), "fail")).toContain(`fail ${where}`);
    expect(named(await perform(scenario, []), "fail")).toEqual([]);
  });
});

test("what is allowed but unwise is a warning", async () => {
  const library = compileCrooked(join(useDirectory(), "crooked.so"), {
    faults: ["CREATE_ACCEPTS", "CREATE_LEAK", "CREATE_THREAD", "RUN_LEAK", "RUN_HOME"],
  });
  const findings = await check(library);
  expect(named(findings, "fail")).toEqual([]);
  expect(named(findings, "warn")).toEqual([
    "warn create with an unknown configuration key",
    "warn create with a configuration that is not JSON",
    "warn threads after destroy",
    "warn memory after many runs",
    "warn memory after create and destroy",
    "warn files written to HOME",
  ]);
});
