import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { compileCrooked, compilePart, useDirectory } from "../../test/helpers/crooked.ts";
import { nativeLibrary, ocrModel } from "../../test/helpers/native.ts";
import { checkPlugin, type Finding, type PluginCheckOptions } from "./index.ts";

function check(library: string, options: Partial<PluginCheckOptions> = {}): Promise<Finding[]> {
  return checkPlugin({ library, dependencies: [], models: [], config: {}, ...options });
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
    const findings = await check(compileCrooked(join(useDirectory(), "slow.so"), { faults: ["RUN_SLOW"] }));
    expect(named(findings, "fail", "warn")).toEqual([]);
    expect(named(findings, "ok")).toContain("ok cancel word");
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
    ["DESCRIBE_LOOP", "describe(NULL) with plenty of room"],
    ["DESCRIBE_NO_JSON", "describe(NULL) content"],
  ])("%s ends the check with one failure, in: %s", async (fault, where) => {
    const library = compileCrooked(join(useDirectory(), "crooked.so"), { faults: [fault] });
    expect(named(await check(library, { tryTimeoutMs: 6_000 }), "fail")).toEqual([`fail ${where}`]);
  });

  test.each([
    [
      ["LOAD_HANDLER", "CREATE_SEGV"],
      [
        "signal handlers after loading",
        "create with an unknown configuration key",
        "create with a configuration that is not JSON",
        "create",
      ],
    ],
    [
      ["DESCRIBE_OVERRUN", "CREATE_LOOP"],
      [
        "describe(NULL) with too little room",
        "create with an unknown configuration key",
        "create with a configuration that is not JSON",
        "create",
      ],
    ],
    [
      ["DESCRIBE_SMALL_OK", "CREATE_UNKNOWN_SEGV", "CREATE_ONCE", "RUN_SEGV"],
      [
        "describe(NULL) with too little room",
        "create with an unknown configuration key",
        "create with a configuration that is not JSON",
        "describe(instance) with too little room",
        "a second instance beside the first",
        "run with zeros",
        "run with no elements",
      ],
    ],
    [
      ["DESCRIBE_NO_LENGTH", "CREATE_SILENT", "DESTROY_SEGV"],
      [
        "describe(NULL) with too little room",
        "create with an unknown configuration key",
        "create with a configuration that is not JSON",
        "describe(instance) with too little room",
        "a second instance beside the first",
      ],
    ],
    [
      ["CREATE_NO_NUL", "RUN_LOOP"],
      [
        "create with an unknown configuration key",
        "create with a configuration that is not JSON",
        "run with zeros",
        "run with no elements",
      ],
    ],
    [
      ["CREATE_OVERRUN", "RUN_EXIT"],
      [
        "create with an unknown configuration key",
        "create with a configuration that is not JSON",
        "run with zeros",
        "run with no elements",
      ],
    ],
    [
      ["CREATE_LEFT", "RUN_DTYPE", "RUN_EMPTY"],
      [
        "create with an unknown configuration key",
        "create with a configuration that is not JSON",
        "run with zeros",
        "outputs larger than the caller's room",
        "run with no elements",
        "run by 2 threads at once",
      ],
    ],
    [
      ["RUN_PROGRESS", "RUN_OWNER"],
      ["progress and heartbeat", "outputs larger than the caller's room"],
    ],
    [["RUN_ROOM"], ["outputs larger than the caller's room"]],
    [
      ["RUN_NO_CANCEL", "RUN_RACE"],
      ["cancel word", "run by 2 threads at once"],
    ],
  ])("%j is found, everything else is still tried", async (faults, expected) => {
    const library = compileCrooked(join(useDirectory(), "crooked.so"), { faults });
    const findings = await check(library, { tryTimeoutMs: 6_000 });
    expect(named(findings, "fail")).toEqual(expected.map((where) => `fail ${where}`));
  });

  test.each([
    "RUN_SHAPE",
    "RUN_SIZE",
    "RUN_OVERRUN",
    "RUN_ELSEWHERE",
    "RUN_INPUT",
    "RUN_FAIL_OWNER",
    "RUN_FAIL_SILENT",
  ])("%s is found in the first run", async (fault) => {
    const library = compileCrooked(join(useDirectory(), "crooked.so"), { faults: [fault] });
    expect(named(await check(library), "fail")).toContain("fail run with zeros");
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
