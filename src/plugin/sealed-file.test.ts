import { spawn, spawnSync } from "node:child_process";
import {
  appendFileSync,
  closeSync,
  copyFileSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createServer } from "node:net";
import { totalmem } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { compileCrooked, useDirectory } from "../../test/helpers/crooked.ts";
import { serviceFile } from "../../test/helpers/loading.ts";
import { readSealed, SealedFiles, type VerifiedFiles, verifyFiles } from "./index.ts";
import type { ExpectedFile } from "./sealed-file.ts";

const attack = attacksOn("libraries and models");

const CODE = (code: string) => expect.objectContaining({ code });

/** Whole seconds, so that it can be set again exactly. */
const WRITTEN = 1_700_000_000;

/** A file of 300 KB and what was signed about it. */
function useFile(): { directory: string; path: string; expected: ExpectedFile } {
  const directory = useDirectory();
  const path = join(directory, "model.bin");
  writeFileSync(path, Buffer.alloc(300_000, "model "));
  utimesSync(path, WRITTEN, WRITTEN);
  return { directory, path, expected: serviceFile(path, "model") };
}

describe("a sealed file", () => {
  test(
    "cannot be written, cut, grown or opened for writing",
    attack("writes into sealed memory", "write, truncate, open for writing"),
    () => {
      const { path, expected } = useFile();
      const sealed = new SealedFiles().seal(path, expected);
      expect(() => writeSync(sealed.fd, "x", 0)).toThrow(CODE("EPERM"));
      expect(() => ftruncateSync(sealed.fd, 10)).toThrow(CODE("EPERM"));
      expect(() => ftruncateSync(sealed.fd, 1 << 20)).toThrow(CODE("EPERM"));
      const reopened = openSync(`/proc/self/fd/${sealed.fd}`, "r+");
      onTestFinished(() => closeSync(reopened));
      expect(() => writeSync(reopened, "x", 0)).toThrow(CODE("EPERM"));
      expect(() => ftruncateSync(reopened, 10)).toThrow(CODE("EPERM"));
      expect(readSealed(sealed).equals(readFileSync(path))).toBe(true);
    },
  );

  test(
    "keeps its bytes when the file on disk is overwritten in place, cut or removed",
    attack("writes to the file after it was sealed", "in place, truncate, unlink"),
    () => {
      const { path, expected } = useFile();
      const original = readFileSync(path);
      const sealed = new SealedFiles().seal(path, expected);
      writeFileSync(path, Buffer.alloc(300_000, "evil"));
      expect(readSealed(sealed).equals(original)).toBe(true);
      truncateSync(path, 0);
      rmSync(path);
      expect(readSealed(sealed).equals(original)).toBe(true);
      observed("the sealed copy keeps its bytes");
    },
  );

  test(
    "written to while it is sealed is either the signed one or refused, never something in between",
    attack("writes to the file while it is sealed", "both ends in a loop, by another process"),
    async () => {
      const { path, expected } = useFile();
      const original = readFileSync(path);
      // Another process flips bytes at both ends and back, as fast as it can.
      const program = `
      const { openSync, writeSync } = require("node:fs");
      const fd = openSync(process.argv[1], "r+");
      process.stdout.write("begun");
      for (;;) for (const text of ["evil", "mode"]) { writeSync(fd, text, 0); writeSync(fd, text, 299994); }`;
      const writer = spawn(process.execPath, ["-e", program, path], { stdio: ["ignore", "pipe", "inherit"] });
      onTestFinished(() => {
        writer.kill("SIGKILL");
      });
      await new Promise((resolve) => writer.stdout.once("data", resolve));
      const end = Buffer.from(original.subarray(299_994, 299_998)).toString();
      expect(end).toBe("mode");

      const outcomes = { signed: 0, refused: 0 };
      // Often enough that taking the digests of anything but the sealed copy would show.
      for (let turn = 0; turn < 3000 && (outcomes.signed < 60 || outcomes.refused < 60); turn++) {
        const sealedFiles = new SealedFiles();
        try {
          const sealed = sealedFiles.seal(path, expected);
          expect(readSealed(sealed).equals(original)).toBe(true);
          outcomes.signed++;
          closeSync(sealed.fd);
        } catch (error) {
          expect(error).toMatchObject({ code: "LIBRARY_DIGEST_MISMATCH" });
          outcomes.refused++;
        }
      }
      expect(outcomes.signed).toBeGreaterThan(0);
      expect(outcomes.refused).toBeGreaterThan(0);
      observed(`${outcomes.signed} times the signed one, ${outcomes.refused} times refused`);
    },
  );

  test("is made once for a content", () => {
    const { directory, path, expected } = useFile();
    copyFileSync(path, join(directory, "copy"));
    const sealedFiles = new SealedFiles();
    const { fd } = sealedFiles.seal(path, expected);
    expect(sealedFiles.seal(join(directory, "copy"), { ...expected, name: "copy" })).toMatchObject({
      fd,
      name: "copy",
    });
  });
});

describe("digests", () => {
  const other = { md5: "0".repeat(32), sha256: "0".repeat(64) };

  test.each(["md5", "sha256"] as const)(
    "a wrong %s is refused though the other is right",
    attack.each("fits one of the digests"),
    (algorithm) => {
      const { path, expected } = useFile();
      const wrong = { ...expected, [algorithm]: other[algorithm] };
      expect(() => new SealedFiles().seal(path, wrong)).toThrow(CODE("LIBRARY_DIGEST_MISMATCH"));
    },
  );

  test("a wrong MD5 is refused also for a content that is already sealed", () => {
    const { path, expected } = useFile();
    const sealedFiles = new SealedFiles();
    sealedFiles.seal(path, expected);
    const wrong = { ...expected, md5: other.md5 };
    expect(() => sealedFiles.seal(path, wrong)).toThrow(CODE("LIBRARY_DIGEST_MISMATCH"));
  });

  test("another file under the name of one that is already sealed is refused", () => {
    const { path, expected } = useFile();
    const sealedFiles = new SealedFiles();
    sealedFiles.seal(path, expected);
    writeFileSync(path, Buffer.alloc(300_000, "evil"));
    expect(() => sealedFiles.seal(path, expected)).toThrow(CODE("LIBRARY_DIGEST_MISMATCH"));
  });

  test("digests in capitals or of another length are no match", () => {
    const { path, expected } = useFile();
    for (const sha256 of [expected.sha256.toUpperCase(), `${expected.sha256}00`, ""]) {
      const wrong = { ...expected, sha256 };
      expect(() => new SealedFiles().seal(path, wrong)).toThrow(CODE("LIBRARY_DIGEST_MISMATCH"));
    }
  });
});

describe("in the place of a file", () => {
  test("nothing at all is LIBRARY_MISSING", () => {
    const { directory, path, expected } = useFile();
    const seal = (at: string) => () => new SealedFiles().seal(at, expected);
    expect(seal(join(directory, "absent"))).toThrow(CODE("LIBRARY_MISSING"));
    expect(seal(join(path, "below-a-file"))).toThrow(CODE("LIBRARY_MISSING"));
  });

  test(
    "a link, even to the right file, is refused",
    attack("puts a link in a library's place", "a symbolic link"),
    () => {
      const { directory, path, expected } = useFile();
      symlinkSync(path, join(directory, "link"));
      symlinkSync(join(directory, "loop"), join(directory, "loop"));
      for (const name of ["link", "loop"]) {
        expect(() => new SealedFiles().seal(join(directory, name), expected)).toThrow(CODE("LIBRARY_NOT_REGULAR"));
      }
    },
  );

  test(
    "a pipe without a writer, a directory, a device and a socket are refused without waiting",
    attack("puts a pipe or a device there", "FIFO, directory, device, socket"),
    async () => {
      const { directory, expected } = useFile();
      const fifo = join(directory, "fifo");
      expect(spawnSync("mkfifo", [fifo]).status).toBe(0);
      mkdirSync(join(directory, "folder"));
      const socket = join(directory, "socket");
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(socket, resolve));
      onTestFinished(() => {
        server.close();
      });
      for (const path of [fifo, join(directory, "folder"), "/dev/zero", "/dev/null", socket]) {
        expect(() => new SealedFiles().seal(path, expected), path).toThrow(CODE("LIBRARY_NOT_REGULAR"));
        expect(() => new SealedFiles().sealUnchecked(path, "x"), path).toThrow(CODE("LIBRARY_NOT_REGULAR"));
      }
    },
  );

  test(
    "a huge sparse file is refused by its size, before a byte of it is read",
    attack("puts a huge file there", "sparse, 4 TiB"),
    () => {
      const { path, expected } = useFile();
      truncateSync(path, 2 ** 42);
      expect(() => new SealedFiles().seal(path, expected)).toThrow(CODE("LIBRARY_DIGEST_MISMATCH"));
      // Signed so, or taken as it is: more than the memory of this machine cannot be sealed.
      expect(totalmem()).toBeLessThan(2 ** 42);
      const signed = { ...expected, size: 2 ** 42 };
      expect(() => new SealedFiles().seal(path, signed)).toThrow(CODE("LIBRARY_UNSEALABLE"));
      expect(() => new SealedFiles().sealUnchecked(path, "x")).toThrow(CODE("LIBRARY_UNSEALABLE"));
    },
  );

  test("a shorter, longer or empty file is refused", () => {
    for (const change of [
      (path: string) => truncateSync(path, 299_999),
      (path: string) => appendFileSync(path, "x"),
      (path: string) => truncateSync(path, 0),
    ]) {
      const { path, expected } = useFile();
      change(path);
      expect(() => new SealedFiles().seal(path, expected)).toThrow(CODE("LIBRARY_DIGEST_MISMATCH"));
    }
  });

  test("a refused file leaves no descriptor behind", () => {
    const { path, expected } = useFile();
    const wrong = { ...expected, sha256: "0".repeat(64) };
    const open = () => openSync("/dev/null", "r");
    const before = open();
    closeSync(before);
    for (let turn = 0; turn < 20; turn++) {
      expect(() => new SealedFiles().seal(path, wrong)).toThrow(CODE("LIBRARY_DIGEST_MISMATCH"));
    }
    const after = open();
    closeSync(after);
    expect(after).toBe(before);
  });
});

describe("while a service runs", () => {
  function useVerified() {
    const { directory, path, expected } = useFile();
    const library = compileCrooked(join(directory, "plugin.so"));
    const files = [{ ...expected, role: "model" } as const, serviceFile(library)];
    return { directory, path, library, verified: verifyFiles(directory, files, new SealedFiles()) };
  }

  /** What second authorization does with it. */
  async function look(verified: VerifiedFiles): Promise<void> {
    if (!verified.areUntouched) await verified.verifyAgain();
  }

  test("untouched files are accepted again and again", async () => {
    const { verified } = useVerified();
    for (let turn = 0; turn < 100; turn++) expect(verified.areUntouched).toBe(true);
  });

  test("a touched file with the same bytes is accepted", async () => {
    const { path, verified } = useVerified();
    utimesSync(path, new Date(), new Date());
    expect(verified.areUntouched).toBe(false);
    await Promise.all([look(verified), look(verified)]);
    expect(verified.areUntouched).toBe(true);
  });

  test("a file installed again with the same bytes is accepted, and watched from then on", async () => {
    const { directory, path, verified } = useVerified();
    copyFileSync(path, join(directory, "again"));
    renameSync(join(directory, "again"), path);
    await look(verified);
    writeFileSync(path, Buffer.alloc(300_000, "evil"));
    await expect(look(verified)).rejects.toThrow(CODE("LIBRARY_CHANGED"));
  });

  test(
    "one changed byte is refused, also when the file's times were set back",
    attack("sets a changed file's times back", "one byte, the old mtime"),
    async () => {
      const { path, verified } = useVerified();
      const { mtimeNs } = statSync(path, { bigint: true });
      const fd = openSync(path, "r+");
      writeSync(fd, "M", 150_000);
      closeSync(fd);
      utimesSync(path, WRITTEN, WRITTEN);
      expect(statSync(path, { bigint: true }).mtimeNs).toBe(mtimeNs);
      await expect(look(verified)).rejects.toThrow(CODE("LIBRARY_CHANGED"));
    },
  );

  test(
    "a file that was changed once is refused for good, and not hashed again at every call",
    attack("changes a file and changes it back", "while it serves"),
    async () => {
      const { path, verified } = useVerified();
      const original = readFileSync(path);
      writeFileSync(path, Buffer.alloc(original.length, "evil"));
      await expect(look(verified)).rejects.toThrow(CODE("LIBRARY_CHANGED"));
      writeFileSync(path, original);
      await expect(look(verified)).rejects.toThrow(CODE("LIBRARY_CHANGED"));
    },
  );

  test("a deleted file is refused", attack("deletes a library while it serves", "unlink"), async () => {
    const { library, verified } = useVerified();
    rmSync(library);
    await expect(look(verified)).rejects.toThrow(CODE("LIBRARY_CHANGED"));
  });

  test(
    "a link to the same bytes, a directory or a pipe in its place is refused without waiting",
    attack("puts something else there while it serves", "a link, a directory, a pipe"),
    async () => {
      for (const replace of [
        (path: string) => symlinkSync(`${path}.moved`, path),
        (path: string) => mkdirSync(path),
        (path: string) => spawnSync("mkfifo", [path]),
      ]) {
        const { library, verified } = useVerified();
        renameSync(library, `${library}.moved`);
        replace(library);
        await expect(look(verified)).rejects.toThrow(CODE("LIBRARY_CHANGED"));
      }
    },
  );
});

describe("sealed copies that nobody needs any more", () => {
  test("are closed, the others stay, and what is needed again is sealed again", () => {
    const files = new SealedFiles();
    const [first, second] = [useFile(), useFile()];
    writeFileSync(second.path, Buffer.alloc(1000, "other "));
    const other = serviceFile(second.path, "model");
    const kept = files.seal(first.path, first.expected);
    const dropped = files.seal(second.path, other);
    files.keepOnly([kept]);
    expect(readSealed(kept)).toEqual(readFileSync(first.path));
    expect(() => fstatSync(dropped.fd)).toThrow(expect.objectContaining({ code: "EBADF" }));
    expect(readSealed(files.seal(second.path, other))).toEqual(readFileSync(second.path));
  });
});

describe("files that are watched through their directory", () => {
  test("are the same after the directory was renamed, and changed after one of them was", async () => {
    const { directory, path, expected } = useFile();
    const licensed = join(directory, "license");
    mkdirSync(licensed);
    renameSync(path, join(licensed, "model.bin"));
    const files = verifyFiles(licensed, [{ ...expected, name: "model.bin", role: "model" }], new SealedFiles());
    const fd = openSync(licensed, "r");
    onTestFinished(() => closeSync(fd));
    files.watchBelow(fd, "");
    renameSync(licensed, join(directory, "license.previous"));
    if (!files.areUntouched) await files.verifyAgain();
    appendFileSync(join(directory, "license.previous", "model.bin"), "x");
    expect(files.areUntouched).toBe(false);
    await expect(files.verifyAgain()).rejects.toThrow(CODE("LIBRARY_CHANGED"));
  });
});
