import { SignetError } from "../../src/errors.ts";
import { readPassphrase } from "./passphrase.ts";
import type { Unlock } from "./vendor-directory.ts";

export interface SigningOptions {
  readonly passphraseFile?: string;
  readonly signerCmd?: string;
}

/** How the issuer signs, from a command's options. @throws USAGE */
export async function readUnlock({ passphraseFile, signerCmd }: SigningOptions): Promise<Unlock> {
  if (signerCmd === undefined) return { passphrase: await readPassphrase({ file: passphraseFile, isNew: false }) };
  if (passphraseFile !== undefined) {
    throw new SignetError("USAGE", "--signer-cmd needs no passphrase; leave --passphrase-file out");
  }
  return { signerCommand: signerCmd };
}
