import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { describeService } from "../../src/engine/index.ts";
import { loadServiceDescription } from "../license/service-description.ts";

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

/** The text of the README's code block that follows the file's name, or follows a sentence that mentions it. */
function codeBlock(readme: string, name: string): string {
  const block = readme.slice(readme.indexOf(`\`${name}\``)).match(/```[a-z]+\n([\s\S]*?)```/)?.[1];
  if (block === undefined) throw new Error(`native/README.md shows no ${name}`);
  return block;
}

test("the plugin that native/README.md teaches builds, loads and can be licensed", { timeout: 300_000 }, async () => {
  const readme = await readFile(join(root, "native", "README.md"), "utf8");
  const clone = await mkdtemp(join(tmpdir(), "signet-readme-"));
  onTestFinished(() => rm(clone, { recursive: true }));
  await mkdir(join(clone, "scaler"));
  for (const name of ["scaler/scaler.cpp", "scaler/CMakeLists.txt", "scaler/services.yaml"]) {
    await writeFile(join(clone, name), codeBlock(readme, name));
  }
  await run("cmake", ["-S", join(clone, "scaler"), "-B", join(clone, "build", "scaler"), `-DSIGNET=${root}`]);
  await run("cmake", ["--build", join(clone, "build", "scaler")]);

  const { services } = await loadServiceDescription(join(clone, "scaler", "services.yaml"), new Date());
  const service = services[0]!;
  const facts = await describeService({
    files: [{ name: "libscaler.so", role: "library", path: join(clone, "build", "scaler", "libscaler.so") }],
    config: service.config,
  });
  expect(service.name).toBe("scaler");
  expect(facts.instance.inputs).toEqual([{ name: "numbers", datatype: "FP32", shape: [-1] }]);
});
