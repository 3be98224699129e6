import { spawn } from "node:child_process";
import type { KeyObject, X509Certificate } from "node:crypto";
import { SignetError } from "../../src/errors.ts";
import { isSignature } from "../../src/license/index.ts";
import type { Signer } from "./signer.ts";

/** A person may have to touch a token first. */
const TIMEOUT_MS = 120_000;
const MAX_OUTPUT_BYTES = 16 * 1024;

/** A vendor's command that signs with one key. */
export interface SignerCommand {
  /** Run by the shell. */
  readonly command: string;
  /** Where it was given, for messages. */
  readonly option: "--signer-cmd" | "--root-signer-cmd";
  /** Of the key that it signs with. */
  readonly publicKey: KeyObject;
}

/**
 * Signs by a command of the vendor's own: the bytes go to its standard input, and it prints the signature in base64.
 * The private key stays where it is. What comes back is verified before it is used.
 *
 * @param issuer the certificate of the key; left out for the root
 */
export function commandSigner(
  { command, option, publicKey }: SignerCommand,
  issuer?: X509Certificate,
  timeoutMs = TIMEOUT_MS,
): Signer {
  const failed = (reason: string, cause?: unknown) =>
    new SignetError("VENDOR_SIGNER_FAILED", `${option}: ${reason}`, { cause });
  return {
    publicKey,
    certificates: issuer === undefined ? [] : [issuer],
    async sign(bytes) {
      const output = await runCommand(command, bytes, timeoutMs).catch((error: Error) => {
        throw failed(error.message, error.cause);
      });
      const text = output.replaceAll(/\s/g, "");
      const signature = /^[A-Za-z0-9+/]+={0,2}$/.test(text) ? Buffer.from(text, "base64") : Buffer.alloc(0);
      if (signature.length === 0) throw failed("it printed no base64");
      if (!isSignature(bytes, signature, publicKey)) {
        throw failed("its signature is not by the expected key over these bytes");
      }
      return signature;
    },
  };
}

/** What the command printed. Rejects with why it is of no use. */
function runCommand(command: string, input: Buffer, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const { SIGNET_PASSPHRASE: _, ...env } = process.env;
    // A process group of its own: what the shell started ends with it.
    const child = spawn("/bin/sh", ["-c", command], { stdio: ["pipe", "pipe", "inherit"], env, detached: true });
    const output: Buffer[] = [];
    let size = 0;
    let reason: string | undefined;
    const end = (why: string) => {
      reason ??= why;
      try {
        process.kill(-child.pid!, "SIGKILL");
      } catch {
        // It has ended by itself.
      }
    };
    const timer = setTimeout(() => end(`it did not end within ${timeoutMs / 1000} seconds`), timeoutMs);
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(new Error("it could not be started", { cause: error }));
    });
    child.stdout.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_OUTPUT_BYTES) end(`it printed more than ${MAX_OUTPUT_BYTES} bytes`);
      else output.push(chunk);
    });
    // A command that does not read its input is told by its signature.
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (reason === undefined && code !== 0) reason = `it ended with ${code ?? signal}`;
      if (reason === undefined) resolve(Buffer.concat(output).toString("latin1"));
      else reject(new Error(reason));
    });
  });
}
