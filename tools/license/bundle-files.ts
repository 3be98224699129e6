import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fileError, SignetError } from "../../src/errors.ts";
import { type FileRole, type LicensedFile, label } from "../../src/license/index.ts";
import { loadOrder, readElf } from "../../src/plugin/index.ts";
import type { DescribedService } from "./service-description.ts";

/** A file as it lies in the bundle. What was measured is the copy, so the vendor's original may change meanwhile. */
export interface BundleFile extends LicensedFile {
  readonly role: FileRole;
  readonly path: string;
}

/**
 * Copies a service's files into the directory under their base names, and puts its libraries into load order.
 * Links are followed: a bundle holds regular files only.
 * @throws SignetError FILE_UNREADABLE, VENDOR_DESCRIPTION_INVALID, PLUGIN_INCOMPATIBLE, LIBRARY_DEPENDENCY_UNCOVERED
 */
export async function copyServiceFiles(service: DescribedService, directory: string): Promise<BundleFile[]> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const sources: [FileRole, string][] = [
    ...service.dependencies.map((path): [FileRole, string] => ["dependency", path]),
    ["library", service.library],
    ...service.models.map((path): [FileRole, string] => ["model", path]),
  ];
  verifyNames(service.name, sources);
  const copies: BundleFile[] = [];
  for (const [role, source] of sources) copies.push(await copyFile(role, source, directory));
  const models = copies.filter(({ role }) => role === "model");
  return [...(await orderLibraries(copies.filter(({ role }) => role !== "model"))), ...models];
}

/** All libraries of a service must run on one machine: the host's, in the words of `host.arch` of its request. */
export async function verifyMachine(files: readonly BundleFile[], arch: string): Promise<void> {
  const expected = machineOfArch.get(arch);
  if (expected === undefined) throw new SignetError("PLUGIN_INCOMPATIBLE", `the host's machine, ${arch}, is unknown`);
  for (const file of files) {
    if (file.role === "model") continue;
    const { machine } = readElf(await readFile(file.path));
    if (machine === expected) continue;
    throw new SignetError("PLUGIN_INCOMPATIBLE", `${file.name} is for ${machine}, expected the host's ${expected}`);
  }
}

/** The names that Node and that the kernel give to the machines Signet runs on. */
const machineOfArch = new Map([
  ["x64", "x86-64"],
  ["x86_64", "x86-64"],
  ["arm64", "aarch64"],
  ["aarch64", "aarch64"],
]);

function verifyNames(service: string, sources: readonly [FileRole, string][]): void {
  const taken = new Set<string>();
  for (const [role, source] of sources) {
    const name = basename(source);
    if (!label.safeParse(name).success) {
      const message = `services: ${service}: the ${role} ${JSON.stringify(name)} has a name that cannot be a label`;
      throw new SignetError(
        "VENDOR_DESCRIPTION_INVALID",
        `${message}, expected letters, digits, dot, dash, underscore`,
      );
    }
    if (taken.has(name)) {
      const message = `services: ${service}: two files are called ${name}, expected different names`;
      throw new SignetError("VENDOR_DESCRIPTION_INVALID", message);
    }
    taken.add(name);
  }
}

/** Hashes the bytes on their way into the copy, so a model of any size needs no more memory than a chunk. */
async function copyFile(role: FileRole, source: string, directory: string): Promise<BundleFile> {
  const name = basename(source);
  const path = join(directory, name);
  const md5 = createHash("md5");
  const sha256 = createHash("sha256");
  let size = 0;
  const measure = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      md5.update(chunk);
      sha256.update(chunk);
      size += chunk.length;
      done(null, chunk);
    },
  });
  try {
    // A pipe or a device would block or never end.
    if (!(await stat(source)).isFile()) {
      throw new SignetError("FILE_UNREADABLE", `${source}: the ${role} is not a regular file`);
    }
    await pipeline(createReadStream(source), measure, createWriteStream(path, { flags: "wx", mode: 0o600 }));
  } catch (error) {
    throw fileError(source, error);
  }
  return { role, path, name, size, md5: md5.digest("hex"), sha256: sha256.digest("hex") };
}

async function orderLibraries(files: readonly BundleFile[]): Promise<BundleFile[]> {
  const libraries: { name: string; elf: ReturnType<typeof readElf>; file: BundleFile }[] = [];
  for (const file of files) {
    const bytes = await readFile(file.path);
    try {
      libraries.push({ name: file.name, elf: readElf(bytes), file });
    } catch (error) {
      if (!(error instanceof SignetError)) throw error;
      throw new SignetError(error.code, `${file.name}: ${error.message}`);
    }
  }
  return loadOrder(libraries).map(({ file }) => file);
}
