import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileError } from "../../src/errors.ts";
import { type EnvelopeKind, envelopeKinds } from "../../src/license/index.ts";
import { readInput } from "./read-input.ts";

export interface VendorFile {
  readonly path: string;
  readonly bytes: Buffer;
}

type SignedFileKind = keyof typeof envelopeKinds;

/** What the first line of a signed file says it is; undefined for other files. */
export function signedFileKind(bytes: Buffer): SignedFileKind | undefined {
  const start = bytes.subarray(0, 100).toString("latin1");
  const entries = Object.entries(envelopeKinds) as [SignedFileKind, EnvelopeKind][];
  return entries.find(([, { pemLabel }]) => start.startsWith(`-----BEGIN ${pemLabel}-----`))?.[0];
}

/**
 * The files that are named, and every license, request, list and receipt in the directories that are, whatever its
 * name. Links are not followed.
 *
 * @throws FILE_UNREADABLE
 */
export async function findVendorFiles(paths: readonly string[]): Promise<VendorFile[]> {
  const found: VendorFile[] = [];
  for (const path of paths) {
    const isDirectory = await stat(path).then(
      (stats) => stats.isDirectory(),
      () => false,
    ); // reading it says what is wrong
    if (!isDirectory) found.push({ path, bytes: await readInput(path) });
    else for (const each of await signedFilesBelow(path)) found.push({ path: each, bytes: await readInput(each) });
  }
  return found;
}

async function signedFilesBelow(directory: string): Promise<string[]> {
  const found: string[] = [];
  const entries = await readdir(directory, { withFileTypes: true, recursive: true }).catch((error) => {
    throw fileError(directory, error);
  });
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && (await isSigned(path))) found.push(path);
  }
  return found.sort();
}

/** By its first bytes: a bundle has models of gigabytes too. */
async function isSigned(path: string): Promise<boolean> {
  const file = await open(path, "r").catch((error) => {
    throw fileError(path, error);
  });
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(100), 0, 100, 0);
    return signedFileKind(buffer.subarray(0, bytesRead)) !== undefined;
  } finally {
    await file.close();
  }
}
