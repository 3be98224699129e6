import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { compileCrooked, compilePart, useDirectory } from "../../test/helpers/crooked.ts";
import { nativeLibrary, ocrModel } from "../../test/helpers/native.ts";
import { identityJob, job, useService } from "../../test/helpers/runner.ts";
import { SealedFiles } from "../plugin/index.ts";
import { describeService, ServiceRunner } from "./index.ts";

const attack = attacksOn("the gateway by a plugin");

/** Everything a service host may find in its environment. */
const allowed = [
  ...["CUDA_VISIBLE_DEVICES", "HOME", "LANG", "OMP_NUM_THREADS", "ORT_DISABLE_TELEMETRY", "PATH", "TMPDIR"],
  "UV_THREADPOOL_SIZE",
];

function environmentOf(pid: number): Record<string, string> {
  const entries = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").filter(Boolean);
  return Object.fromEntries(entries.map((entry) => [entry.split("=")[0]!, entry.slice(entry.indexOf("=") + 1)]));
}

test(
  "a service host sees the allow-list and nothing of the gateway's environment",
  attack("reads secrets of the environment", "/proc/PID/environ of a service host"),
  async () => {
    vi.stubEnv("LD_PRELOAD", "/nonexistent/evil.so");
    vi.stubEnv("LD_LIBRARY_PATH", "/nonexistent");
    vi.stubEnv("LD_AUDIT", "/nonexistent/audit.so");
    vi.stubEnv("GLIBC_TUNABLES", "glibc.malloc.check=3");
    vi.stubEnv("NODE_OPTIONS", "--require=/nonexistent/evil.js");
    vi.stubEnv("NODE_EXTRA_CA_CERTS", "/nonexistent/ca.pem");
    vi.stubEnv("ORT_DISABLE_TELEMETRY", "0");
    vi.stubEnv("OMP_NUM_THREADS", "64");
    vi.stubEnv("CUDA_VISIBLE_DEVICES", "0");
    vi.stubEnv("VENDOR_PASSPHRASE", "a secret of this test");
    vi.stubEnv("CI", "true");
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    const { runner, home } = await useService(nativeLibrary("identity"), {});
    const environment = environmentOf(runner.pid!);
    expect(Object.keys(environment).sort()).toEqual(allowed);
    expect(environment.CUDA_VISIBLE_DEVICES).toBe("");
    expect(environment).toMatchObject({ HOME: home, TMPDIR: home, ORT_DISABLE_TELEMETRY: "1", OMP_NUM_THREADS: "1" });
    expect(JSON.stringify(environment)).not.toMatch(/nonexistent|secret/);
    const bytes = new Uint8Array([1, 2]);
    expect((await runner.submit(identityJob(bytes))).outputs[0]!.data).toEqual(bytes);
    observed(`${allowed.length} variables are there, none of the gateway's own`);
  },
);

test(
  "a dependency comes from the bundle though the gateway's LD_LIBRARY_PATH has another first",
  attack("has a dependency taken from elsewhere", "the gateway's LD_LIBRARY_PATH"),
  async () => {
    const directory = useDirectory();
    const evil = useDirectory();
    const part = compilePart(join(directory, "libpart.so.1"), "signed");
    compilePart(join(evil, "libpart.so.1"), "evil");
    const plugin = compileCrooked(join(directory, "plugin.so"), { part });
    vi.stubEnv("LD_LIBRARY_PATH", evil);
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    const library = { name: "plugin.so", role: "library", path: plugin } as const;
    const dependency = { name: "libpart.so.1", role: "dependency", path: part } as const;
    const facts = await describeService({ files: [dependency, library], config: {} });
    expect(facts.plugin.vendor).toBe("signed");
    observed(`the ${facts.plugin.vendor} one is loaded`);
    // Without it in the bundle the plugin does not start, instead of starting with the other one.
    await expect(describeService({ files: [library], config: {} })).rejects.toMatchObject({
      code: "SERVICE_START_FAILED",
      message: expect.stringContaining("libpart.so.1"),
    });
  },
);

test("ONNX Runtime leaves no file in its HOME after real work, nor when its process ends", async () => {
  const home = mkdtempSync(join(tmpdir(), "signet-test-home-"));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  const library = nativeLibrary("onnxruntime");
  const files = [
    { role: "dependency", path: library.replace("libsignet_onnxruntime.so", "libonnxruntime.so.1") },
    { role: "library", path: library },
    { role: "model", path: ocrModel("ch_ppocr_mobile_v2.0_cls_infer.onnx") },
  ] as const;
  const described = files.map((file) => ({ ...file, name: basename(file.path) }));
  const { instance } = await describeService({ files: described, config: {} });
  const sealed = new SealedFiles();
  const runner = new ServiceRunner({
    name: "onnxruntime",
    files: described.map(({ name, role, path }) => ({ name, role, fd: sealed.sealUnchecked(path, name).fd })),
    config: {},
    inputs: instance.inputs,
    outputs: instance.outputs,
    concurrency: 2,
    admission: "queue",
    maxQueue: 64,
    queueTimeoutMs: null,
    slotBytes: 1 << 20,
    memoryLimitBytes: 2 ** 31,
    cancelGraceMs: 500,
    startTimeoutMs: 30_000,
    home,
    onEvent: () => {},
  });
  onTestFinished(() => runner.stop(0));
  expect(await runner.start()).toBeNull();
  const input = {
    name: "x",
    datatype: "FP32",
    shape: [1, 3, 48, 192],
    data: new Uint8Array(3 * 48 * 192 * 4),
  } as const;
  const results = await Promise.all(Array.from({ length: 20 }, () => runner.submit(job([input]))));
  expect(results.map(({ outputs }) => outputs[0]!.shape)).toEqual(results.map(() => [1, 2]));
  expect(readdirSync(home, { recursive: true })).toEqual([]);
  await runner.stop(10_000);
  expect(readdirSync(home, { recursive: true })).toEqual([]);
});
