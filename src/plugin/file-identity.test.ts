import {
  closeSync,
  copyFileSync,
  fstatSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { identityOf, WatchedName } from "./file-identity.ts";

function useWatchedFile() {
  const directory = mkdtempSync(join(tmpdir(), "signet-identity-"));
  const path = join(directory, "files", "model.bin");
  mkdirSync(join(directory, "files"));
  writeFileSync(path, "the content");
  const [held, fd] = [openSync(directory, "r"), openSync(path, "r")];
  onTestFinished(() => {
    closeSync(held);
    closeSync(fd);
    rmSync(directory, { recursive: true, force: true });
  });
  return { directory, path, fd, names: [WatchedName.at(path), WatchedName.below(held, "files/model.bin")] };
}

test("an identity is what Node says of the same file", () => {
  const { fd } = useWatchedFile();
  const { ino, size, ctimeNs, mtimeNs, dev } = fstatSync(fd, { bigint: true });
  const low = (value: bigint) => Number(BigInt.asIntN(32, value));
  const wide = (value: bigint) => [low(value), low(value >> 32n)];
  const time = (ns: bigint) => [...wide(ns / 1_000_000_000n), Number(ns % 1_000_000_000n)];
  // As glibc takes device numbers apart.
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
  const expected = [...wide(ino), ...wide(size), ...time(ctimeNs), ...time(mtimeNs), low(major), low(minor)];
  expect([...identityOf(fd)]).toEqual(expected);
});

test.each([
  ["was written over with as many bytes", ({ path }) => writeFileSync(path, "THE CONTENT")],
  ["was written over, and has its old times", ({ path }) => writeWithTimesOf(path)],
  ["was replaced by a copy", ({ path }) => replaceByCopy(path)],
  ["got another name too", ({ path }) => linkSync(path, `${path}.link`)],
  ["is gone", ({ path }) => rmSync(path)],
  ["lies in a directory that was replaced", ({ directory }) => replaceDirectory(join(directory, "files"))],
] as [string, (file: ReturnType<typeof useWatchedFile>) => void][])("a file that %s is another one", (_, change) => {
  const file = useWatchedFile();
  const identity = identityOf(file.fd);
  expect(file.names.map((name) => name.isUnchanged(identity))).toEqual([true, true]);
  change(file);
  expect(file.names.map((name) => name.isUnchanged(identity))).toEqual([false, false]);
});

function writeWithTimesOf(path: string): void {
  const { atime, mtime } = statSync(path);
  writeFileSync(path, "THE CONTENT");
  utimesSync(path, atime, mtime);
}

function replaceByCopy(path: string): void {
  copyFileSync(path, `${path}.copy`);
  renameSync(`${path}.copy`, path);
}

function replaceDirectory(path: string): void {
  renameSync(path, `${path}.old`);
  mkdirSync(path);
  copyFileSync(join(`${path}.old`, "model.bin"), join(path, "model.bin"));
}
