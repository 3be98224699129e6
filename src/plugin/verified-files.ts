import { join } from "node:path";
import type { SignetError } from "../errors.ts";
import { verifyDependencies } from "./dependencies.ts";
import { readElf } from "./elf.ts";
import { isUnchanged } from "./file-identity.ts";
import { type ExpectedFile, hashAgain, readSealed, type SealedFile, type SealedFiles } from "./sealed-file.ts";

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

  /** Second authorization's look at the disk, on every call: about 2 µs a file. False calls for `verifyAgain`. */
  get areUntouched(): boolean {
    return this.#change === undefined && this.#files.every(({ sealed }) => isUnchanged(sealed.path, sealed.identity));
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
        if (!isUnchanged(file.sealed.path, file.sealed.identity)) {
          file.sealed = await hashAgain(file.sealed, file.expected);
        }
      }
    } catch (error) {
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
  const verified = files.map((expected) => ({
    expected,
    sealed: sealedFiles.seal(join(directory, expected.name), expected),
  }));
  verifyDependencies(
    verified
      .filter(({ expected }) => expected.role !== "model")
      .map(({ expected, sealed }) => ({ name: expected.name, elf: readElf(readSealed(sealed)) })),
  );
  return new VerifiedFiles(verified);
}
