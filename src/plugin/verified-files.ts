import { join } from "node:path";
import type { SignetError } from "../errors.ts";
import { verifyDependencies } from "./dependencies.ts";
import { readElf } from "./elf.ts";
import { WatchedName } from "./file-identity.ts";
import {
  type ExpectedFile,
  hashAgain,
  readSealed,
  runSteps,
  runStepsAside,
  type SealedFile,
  type SealedFiles,
  type Steps,
} from "./sealed-file.ts";

export type FileRole = "library" | "dependency" | "model";

export interface ServiceFile extends ExpectedFile {
  readonly role: FileRole;
}

/**
 * The files of one service, verified and sealed. Only `verifyFiles` makes one, so a service host cannot be
 * started from anything that was not checked: what was verified is what is loaded.
 */
export class VerifiedFiles {
  readonly #files: { readonly expected: ServiceFile; sealed: SealedFile }[];
  /** Found once, kept for good: a changed file is not hashed again at every call. */
  #change: SignetError | undefined;
  #hashing: Promise<void> | undefined;
  #isWatching = true;

  /** @internal */
  constructor(files: { expected: ServiceFile; sealed: SealedFile }[]) {
    this.#files = files;
  }

  /** What a service host inherits: names, roles and sealed descriptors, in load order. */
  get inherited(): { readonly name: string; readonly role: FileRole; readonly fd: number }[] {
    return this.#files.map(({ expected, sealed }) => ({ name: expected.name, role: expected.role, fd: sealed.fd }));
  }

  get bytes(): number {
    return this.#files.reduce((sum, { expected }) => sum + expected.size, 0);
  }

  /** The sealed copies, for SealedFiles.keepOnly. */
  get sealed(): SealedFile[] {
    return this.#files.map(({ sealed }) => sealed);
  }

  /**
   * From now on second authorization looks below this directory, which stays open. It is another way to the one they
   * were verified in, that holds when it is renamed.
   */
  watchBelow(directoryFd: number, path: string): void {
    for (const file of this.#files) {
      file.sealed = { ...file.sealed, watched: WatchedName.below(directoryFd, join(path, file.expected.name)) };
    }
  }

  /** Their license was replaced: from now on what lies on disk is not theirs to look at. */
  stopWatching(): void {
    this.#isWatching = false;
  }

  /** Second authorization's look at the disk, on every call: about 0.4 µs a file. False calls for `verifyAgain`. */
  get areUntouched(): boolean {
    if (!this.#isWatching) return true;
    return this.#change === undefined && this.#files.every(({ sealed }) => sealed.watched.isUnchanged(sealed.identity));
  }

  /**
   * Hashes again the files that were touched; calls that arrive meanwhile share the outcome. A file that was changed
   * once is refused from then on, whatever becomes of it.
   * @throws LIBRARY_CHANGED
   */
  verifyAgain(): Promise<void> {
    if (this.#change !== undefined) return Promise.reject(this.#change);
    this.#hashing ??= this.#hashTouched().finally(() => {
      this.#hashing = undefined;
    });
    return this.#hashing;
  }

  async #hashTouched(): Promise<void> {
    try {
      for (const file of this.#files) {
        if (!file.sealed.watched.isUnchanged(file.sealed.identity)) {
          const { identity } = await hashAgain(file.sealed, file.expected);
          // Where to look may have changed meanwhile, and stays as it is then.
          file.sealed = { ...file.sealed, identity };
        }
      }
    } catch (error) {
      // Replaced while it was read: what was found is another license's file.
      if (!this.#isWatching) return;
      this.#change = error as SignetError;
      throw error;
    }
  }
}

/**
 * Seals every file of a service in the directory, compares all digests, and makes sure that loading the
 * libraries in order brings in nothing that is not among them or part of the system base.
 * @throws LIBRARY_MISSING, LIBRARY_NOT_REGULAR, LIBRARY_DIGEST_MISMATCH, LIBRARY_DEPENDENCY_UNCOVERED,
 *   LIBRARY_UNSEALABLE, PLUGIN_INCOMPATIBLE
 */
export function verifyFiles(directory: string, files: readonly ServiceFile[], sealedFiles: SealedFiles): VerifiedFiles {
  return runSteps(verifyInSteps(directory, files, sealedFiles));
}

/** The same beside other work, which waits some milliseconds at a time. */
export async function verifyFilesAside(
  directory: string,
  files: readonly ServiceFile[],
  sealedFiles: SealedFiles,
): Promise<VerifiedFiles> {
  return await runStepsAside(verifyInSteps(directory, files, sealedFiles));
}

function* verifyInSteps(
  directory: string,
  files: readonly ServiceFile[],
  sealedFiles: SealedFiles,
): Steps<VerifiedFiles> {
  const verified: { expected: ServiceFile; sealed: SealedFile }[] = [];
  for (const expected of files) {
    verified.push({ expected, sealed: yield* sealedFiles.sealInSteps(join(directory, expected.name), expected) });
  }
  verifyDependencies(
    verified
      .filter(({ expected }) => expected.role !== "model")
      .map(({ expected, sealed }) => ({ name: expected.name, elf: readElf(readSealed(sealed)) })),
  );
  return new VerifiedFiles(verified);
}
