import { createPublicKey, type KeyObject } from "node:crypto";
import { join } from "node:path";
import { SignetError } from "../../src/errors.ts";
import { commandSigner } from "./external-signer.ts";
import { readPassphrase } from "./passphrase.ts";
import { readInput } from "./read-input.ts";
import type { Signer } from "./signer.ts";
import { openRoot, readVendorCertificates, type Unlock } from "./vendor-directory.ts";

export interface SigningOptions {
  readonly passphraseFile?: string;
  readonly signerCmd?: string;
}

export interface RootSigningOptions {
  /** The vendor's directory. */
  readonly vendor: string;
  readonly rootKey?: string;
  readonly rootSignerCmd?: string;
}

/** How the issuer signs, from a command's options. @throws USAGE */
export async function readUnlock({ passphraseFile, signerCmd }: SigningOptions): Promise<Unlock> {
  if (signerCmd === undefined) return { passphrase: await readPassphrase({ file: passphraseFile, isNew: false }) };
  refusePassphraseFile(passphraseFile, "--signer-cmd");
  return { signerCommand: signerCmd };
}

/**
 * Who signs as the root: a command, or root.key with its passphrase, which is asked for only then.
 * @throws USAGE, VENDOR_KEY_UNREADABLE
 */
export async function openRootSigner(
  { vendor, rootKey, rootSignerCmd }: RootSigningOptions,
  passphrase: () => Promise<string>,
): Promise<Signer> {
  const { root } = await readVendorCertificates(vendor);
  if (rootSignerCmd === undefined) return await openRoot(rootKey ?? join(vendor, "root.key"), await passphrase(), root);
  return rootCommandSigner(rootSignerCmd, root.publicKey);
}

export function rootCommandSigner(command: string, publicKey: KeyObject): Signer {
  return commandSigner({ command, option: "--root-signer-cmd", publicKey });
}

/** @throws USAGE where a passphrase would open or encrypt nothing */
export function refusePassphraseFile(passphraseFile: string | undefined, option: string): void {
  if (passphraseFile === undefined) return;
  throw new SignetError("USAGE", `${option} needs no passphrase; leave --passphrase-file out`);
}

/** The public half of a key that stays elsewhere. @throws VENDOR_KEY_UNREADABLE, FILE_UNREADABLE */
export async function readPublicKey(path: string): Promise<KeyObject> {
  const pem = await readInput(path);
  try {
    // Only this form: createPublicKey would also take a private key, which has no business here.
    if (!/^\s*-----BEGIN PUBLIC KEY-----/.test(pem.toString("latin1"))) throw new Error("another kind of file");
    return createPublicKey(pem);
  } catch (error) {
    throw new SignetError("VENDOR_KEY_UNREADABLE", `${path}: expected a public key in PEM`, { cause: error });
  }
}
