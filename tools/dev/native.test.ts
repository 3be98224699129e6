import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const run = promisify(execFile);
const root = join(import.meta.dirname, "..", "..");
const build = join(root, "build", "native-cmake");

test("every plugin keeps the contract of plugin.h, as the tests beside it in C++ see it", {
  timeout: 300_000,
}, async () => {
  await run("cmake", ["--build", build, "--target", "all", "native_tests"]);
  const { stdout } = await run("ctest", ["--output-on-failure"], { cwd: build }).catch(
    (error: { stdout: string }) => error,
  );
  expect(stdout).toContain("100% tests passed");
  expect(stdout).toMatch(/out of [4-9]/);
});

test("a plugin exports its one symbol and carries no path of the machine that built it", async () => {
  for (const name of ["identity", "onnxruntime", "faulty"]) {
    const library = join(root, "build", "native", `libsignet_${name}.so`);
    const symbols = (await run("nm", ["-D", "--defined-only", library])).stdout;
    expect(symbols.trim().split(/\s+/).slice(2)).toEqual(["signet_plugin_v1"]);
    const dynamic = (await run("readelf", ["-d", library])).stdout;
    expect(dynamic.match(/(?:RUNPATH|RPATH).*\[(.*)\]/)?.[1]).toBe("$ORIGIN");
    const strings = await run("grep", ["-c", "-F", root, library]).catch((error: { stdout: string }) => error);
    expect(strings.stdout.trim()).toBe("0");
  }
});
