import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { compileNvml, nvmlDirectory, useDriver, useSystemRoot } from "../../test/helpers/nvml.ts";
import { readHostMachine } from "../service/read-host-machine.ts";
import { readGpus } from "./read-gpus.ts";

const attack = attacksOn("the host's identity");

afterEach(() => vi.unstubAllEnvs());

describe("a driver that works", () => {
  test("tells its GPUs with their memory, and nothing of a name is obeyed by a terminal", async () => {
    const { gpus, ...rest } = await readGpus({ root: useDriver("GPUS=3") });
    expect(rest).toEqual({ driverVersion: "550.54.15", reason: null, isForbidden: false });
    expect(gpus).toHaveLength(3);
    expect(gpus[2]).toEqual({
      uuid: "GPU-00000003-4b5a-6978-8695-a4b3c2d1e0f5",
      name: "NVIDIA H100 80GB HBM3?[31m",
      memoryBytes: 85_520_809_984,
      mig: null,
    });
  });

  test("tells the whole GPU where it is cut into partitions", async () => {
    const { gpus } = await readGpus({ root: useDriver("GPUS=2", "MIG") });
    expect(gpus.map(({ uuid, mig }) => [uuid.slice(0, 12), mig])).toEqual([
      ["GPU-00000001", "on"],
      ["GPU-00000002", "off"],
    ]);
  });

  test("that is old tells what it can", async () => {
    const { gpus, reason } = await readGpus({ root: useDriver("GPUS=1", "OLD") });
    expect(reason).toBeNull();
    expect(gpus).toMatchObject([{ memoryBytes: null, mig: null }]);
  });

  test(
    "is asked without what the caller's environment would bring in",
    attack("brings code into the process that asks it", "LD_LIBRARY_PATH, NODE_OPTIONS"),
    async () => {
      vi.stubEnv("LD_LIBRARY_PATH", "/tmp");
      vi.stubEnv("NODE_OPTIONS", "--no-such-option");
      expect(await readGpus({ root: useDriver("PRELOADED") })).toMatchObject({ reason: null });
      observed("asked without them");
    },
  );
});

describe("a driver in trouble", () => {
  test.each([
    ["does not start", ["INIT=9"], /the driver is not loaded/],
    ["was updated under a running kernel", ["INIT=18"], /different versions; restart/],
    ["fails with a number nobody knows", ["INIT=4711"], /error 4711/],
    ["does not count", ["COUNT=999"], /error 999/],
    ["counts nonsense", ["GPUS=4294967295u"], /counts 4294967295 GPUs/],
    ["finds none", ["GPUS=0"], /finds no GPU/],
    ["lacks a function", ["NO_UUID"], /cannot be used: .*nvmlDeviceGetUUID/],
    ["gives numbers of partitions", ['UUID="MIG-%08x-4b5a-6978-8695-a4b3c2d1e0f5"'], /no number of its own/],
    ["gives endless numbers", [`UUID="%08x${"f".repeat(90)}"`], /no number of its own/],
    ["ends the process", ["CRASH"], /ended the process that asked it by SIGABRT/],
  ])("%s: no GPU, and the reason in words", async (_, macros, words) => {
    const { gpus, reason } = await readGpus({ root: useDriver(...macros) });
    expect(gpus).toEqual([]);
    expect(reason).toMatch(words);
  });

  test("that hangs is given up", async () => {
    const { gpus, reason } = await readGpus({ root: useDriver("HANG"), timeoutMs: 1500 });
    expect(gpus).toEqual([]);
    expect(reason).toMatch(/did not answer within 1.5 s/);
  });

  test("that lost one GPU tells the others", async () => {
    const { gpus, reason } = await readGpus({ root: useDriver("GPUS=4", "LOST=2") });
    expect(gpus).toHaveLength(3);
    expect(reason).toBe("GPU 2: the GPU has fallen off the bus");
  });

  test("that forbids it is told apart, so that nobody looks for changed hardware", async () => {
    const root = useDriver("INIT=4");
    expect(await readGpus({ root })).toMatchObject({ gpus: [], isForbidden: true });
    expect((await readHostMachine(root)).unreadable).toEqual(["gpu"]);
  });
});

describe("the library", () => {
  test("that is not there is a reason and no error, with devices or without", async () => {
    const root = useSystemRoot();
    expect(await readGpus({ root })).toMatchObject({ gpus: [], reason: expect.stringMatching(/no NVIDIA driver/) });
    mkdirSync(join(root, "dev"));
    writeFileSync(join(root, "dev", "nvidia0"), "");
    expect(await readGpus({ root })).toMatchObject({ reason: expect.stringMatching(/not passed into this container/) });
  });

  test("that is no library at all is a reason and no error", async () => {
    const root = useSystemRoot();
    writeFileSync(join(root, nvmlDirectory, "libnvidia-ml.so.1"), "not a library");
    expect(await readGpus({ root })).toMatchObject({ gpus: [], reason: expect.stringMatching(/cannot be used/) });
  });

  test(
    "is followed through links, and not loaded where others could have changed it",
    attack("exchanges NVIDIA's library", "where other users can write"),
    async () => {
      const root = useSystemRoot();
      const library = compileNvml(join(root, "opt", "libnvidia-ml.so.550"));
      symlinkSync(library, join(root, nvmlDirectory, "libnvidia-ml.so.1"));
      expect((await readGpus({ root })).gpus).toHaveLength(2);
      chmodSync(library, 0o777);
      expect(await readGpus({ root })).toMatchObject({ gpus: [], reason: expect.stringMatching(/by other users/) });
      chmodSync(library, 0o755);
      chmodSync(dirname(library), 0o777);
      expect(await readGpus({ root })).toMatchObject({ gpus: [], reason: expect.stringMatching(/by other users/) });
      observed("not loaded, the reason is said");
    },
  );

  test(
    "is not looked for in LD_LIBRARY_PATH",
    attack("puts a false library of NVIDIA's first", "LD_LIBRARY_PATH"),
    async () => {
      const elsewhere = dirname(compileNvml(join(useSystemRoot(), "lib", "libnvidia-ml.so.1")));
      vi.stubEnv("LD_LIBRARY_PATH", elsewhere);
      expect((await readGpus({ root: useSystemRoot() })).gpus).toEqual([]);
      observed("not loaded");
    },
  );
});

describe("the machine's GPUs", () => {
  const valuesOf = async (root: string) =>
    (await readHostMachine(root)).facts.filter(({ type }) => type === "gpu").map(({ value }) => value);

  test("come from the driver where the kernel's files name none", async () => {
    expect(await valuesOf(useDriver("GPUS=2", "MIG"))).toEqual([
      "gpu000000014b5a69788695a4b3c2d1e0f5",
      "gpu000000024b5a69788695a4b3c2d1e0f5",
    ]);
  });

  test("come from the kernel's files where they name one, whatever the driver says", async () => {
    const root = useDriver("GPUS=2");
    const slot = join(root, "proc/driver/nvidia/gpus/0000:17:00.0");
    mkdirSync(slot, { recursive: true });
    writeFileSync(join(slot, "information"), "GPU UUID: \t GPU-1f1c2d3e-4b5a-6978-8695-a4b3c2d1e0f1\n");
    expect(await valuesOf(root)).toEqual(["gpu1f1c2d3e4b5a69788695a4b3c2d1e0f1"]);
    writeFileSync(join(slot, "information"), "GPU UUID: \t GPU-????????-????-????-????-????????????\n");
    expect(await valuesOf(root)).toHaveLength(2);
  });
});
