import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { compileCrooked, compilePart, useDirectory } from "../../test/helpers/crooked.ts";
import { loadInChild, performInChild, serviceFile } from "../../test/helpers/loading.ts";
import { SealedFiles, verifyFiles } from "./index.ts";

const attack = attacksOn("libraries and models");

/** A directory with a plugin, the library it needs, and an evil twin of that library in a directory of its own. */
function usePluginWithPart() {
  const directory = useDirectory();
  const evil = join(directory, "evil");
  mkdirSync(evil);
  const part = compilePart(join(directory, "libpart.so.1"), "signed");
  compilePart(join(evil, "libpart.so.1"), "evil");
  const plugin = compileCrooked(join(directory, "plugin.so"), { version: "signed", part });
  return { directory, evil, plugin: serviceFile(plugin), part: serviceFile(part, "dependency") };
}

describe("what was verified is what is loaded", () => {
  test(
    "a file swapped between the check and loading has no effect",
    attack("exchanges a library after the check", "rename"),
    () => {
      const directory = useDirectory();
      const path = compileCrooked(join(directory, "plugin.so"), { version: "signed" });
      const verified = verifyFiles(directory, [serviceFile(path)], new SealedFiles());
      renameSync(compileCrooked(join(directory, "other.so"), { version: "evil" }), path);
      const { version } = loadInChild(verified.inherited);
      expect(version).toBe("signed");
      observed(`the ${version} one is loaded`);
    },
  );

  test(
    "a file overwritten in place between the check and loading has no effect",
    attack("overwrites it after the check", "in place"),
    () => {
      const directory = useDirectory();
      const path = compileCrooked(join(directory, "plugin.so"), { version: "signed" });
      const verified = verifyFiles(directory, [serviceFile(path)], new SealedFiles());
      copyFileSync(compileCrooked(join(directory, "other.so"), { version: "evil" }), path);
      const { version } = loadInChild(verified.inherited);
      expect(version).toBe("signed");
      observed(`the ${version} one is loaded`);
    },
  );

  test(
    "a library in an ordinary file is not loaded, even by descriptor",
    attack("hands an unsealed file to the loader", "by descriptor"),
    () => {
      const directory = useDirectory();
      const marker = join(directory, "was-loaded");
      const path = compileCrooked(join(directory, "plugin.so"));
      const program = [{ do: "load", files: [{ name: "plugin.so", role: "library", fd: 0 }] }] as const;
      const found = performInChild(program, { SIGNET_TEST_MARKER: marker });
      expect(found[0]).toMatchObject({ code: "LIBRARY_UNSEALABLE" });
      expect(existsSync(marker)).toBe(false);
      // The marker would be there if anything had been loaded.
      performInChild([{ do: "load path", path }], { SIGNET_TEST_MARKER: marker });
      expect(existsSync(marker)).toBe(true);
    },
  );
});

describe("the number of a descriptor", () => {
  test("a closed one that is used again brings back the old library, which is why none is ever closed", () => {
    const directory = useDirectory();
    const one = compileCrooked(join(directory, "one.so"), { version: "one" });
    const two = compileCrooked(join(directory, "two.so"), { version: "two" });
    const [first, second] = performInChild([
      { do: "seal and load", path: one, close: true },
      { do: "seal and load", path: two, close: true },
    ]);
    // If the loader ever stops doing this, the rule can go.
    expect(second!.fd).toBe(first!.fd);
    expect(second!.version).toBe("one");
  });

  test(
    "SealedFiles gives each library a number of its own, and each is the right one",
    attack("waits for a descriptor's number to return", "fd reuse"),
    () => {
      const directory = useDirectory();
      const one = compileCrooked(join(directory, "one.so"), { version: "one" });
      const two = compileCrooked(join(directory, "two.so"), { version: "two" });
      const found = performInChild([
        { do: "seal and load", path: one, close: false },
        { do: "seal and load", path: two, close: false },
        { do: "seal and load", path: one, close: false },
      ]);
      expect(found.map(({ version }) => version)).toEqual(["one", "two", "one"]);
      expect(found[2]!.fd).toBe(found[0]!.fd);
      expect(found[1]!.fd).not.toBe(found[0]!.fd);
      observed(`${found.map(({ version, fd }) => `${version} by ${fd}`).join(", ")}`);
    },
  );
});

describe("dependencies", () => {
  test(
    "come from the bundle, in order, whatever LD_LIBRARY_PATH says",
    attack("puts a dependency before the signed one", "LD_LIBRARY_PATH"),
    () => {
      const { directory, evil, plugin, part } = usePluginWithPart();
      const verified = verifyFiles(directory, [part, plugin], new SealedFiles());
      const loaded = loadInChild(verified.inherited, { LD_LIBRARY_PATH: evil });
      expect(loaded).toMatchObject({ version: "signed", vendor: "signed" });
      observed(`the ${loaded.vendor} one is loaded`);
    },
  );

  test(
    "one that is not loaded first would come from LD_LIBRARY_PATH, so its absence is refused before loading",
    attack("leaves a dependency to the search path", "not in the bundle"),
    () => {
      const { directory, evil, plugin } = usePluginWithPart();
      expect(() => verifyFiles(directory, [plugin], new SealedFiles())).toThrow(
        expect.objectContaining({ code: "LIBRARY_DEPENDENCY_UNCOVERED" }),
      );
      // What the refusal prevents.
      const { fd } = new SealedFiles().seal(join(directory, plugin.name), plugin);
      expect(loadInChild([{ name: plugin.name, role: "library", fd }], { LD_LIBRARY_PATH: evil }).vendor).toBe("evil");
    },
  );

  test("in the wrong order are refused", () => {
    const { directory, plugin, part } = usePluginWithPart();
    expect(() => verifyFiles(directory, [plugin, part], new SealedFiles())).toThrow(
      expect.objectContaining({ code: "LIBRARY_DEPENDENCY_UNCOVERED" }),
    );
  });

  test("one that is missing after all is named by the loader's error, and so is who needs it", () => {
    const { directory, plugin } = usePluginWithPart();
    const { fd } = new SealedFiles().seal(join(directory, plugin.name), plugin);
    const found = loadInChild([{ name: plugin.name, role: "library", fd }]);
    expect(found.code).toBe("SERVICE_START_FAILED");
    expect(found.message).toContain("libpart.so.1");
    expect(found.message).toContain("plugin.so could not be loaded");
    expect(found.message).not.toContain("/proc/self/fd");
  });

  test(
    "a covered library whose bytes were exchanged for its evil twin is refused",
    attack("exchanges a dependency", "a twin with the same SONAME"),
    () => {
      const { directory, evil, plugin, part } = usePluginWithPart();
      copyFileSync(join(evil, "libpart.so.1"), join(directory, "libpart.so.1"));
      expect(() => verifyFiles(directory, [part, plugin], new SealedFiles())).toThrow(
        expect.objectContaining({ code: "LIBRARY_DIGEST_MISMATCH" }),
      );
    },
  );
});

test("a library in a directory mounted noexec is loaded from its sealed copy", (context) => {
  const directory = useDirectory();
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "noexec,nosuid,size=8m", "tmpfs", directory]);
  if (mounted.status !== 0) {
    const reason = `mounting a tmpfs failed: ${mounted.error?.message ?? String(mounted.stderr).trim()}`;
    console.warn(reason);
    context.skip(reason);
  }
  onTestFinished(() => {
    spawnSync("umount", ["--lazy", directory]);
  });
  const path = compileCrooked(join(directory, "plugin.so"), { version: "signed" });
  expect(performInChild([{ do: "load path", path }])[0]).toMatchObject({ code: "LOADER" });
  const verified = verifyFiles(directory, [serviceFile(path)], new SealedFiles());
  expect(loadInChild(verified.inherited).version).toBe("signed");
});

test("a host hardened with vm.memfd_noexec=2 loads sealed libraries too", (context) => {
  const path = compileCrooked(join(useDirectory(), "plugin.so"), { version: "signed" });
  // The setting belongs to a pid namespace, so a namespace of its own keeps it from everybody else.
  const harden = 'echo 2 > /proc/sys/vm/memfd_noexec && exec "$@"';
  const wrapper = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", harden, "sh"];
  if (spawnSync(wrapper[0]!, [...wrapper.slice(1), "true"]).status !== 0) {
    const reason = "vm.memfd_noexec could not be set, which takes root and Linux 6.3";
    console.warn(reason);
    context.skip(reason);
  }
  const [found] = performInChild([{ do: "seal and load", path, close: false }], {}, [], wrapper);
  expect(found!.version).toBe("signed");
});
