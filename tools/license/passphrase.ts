import { readFile } from "node:fs/promises";
import { fileError, SignetError } from "../../src/errors.ts";

const CTRL_C = "\u0003";
const CTRL_D = "\u0004";
const BACKSPACES = ["\u007f", "\b"];

/**
 * The passphrase of the vendor's keys: from a file (its first line), else from SIGNET_PASSPHRASE, else typed on the
 * terminal without echo; twice where a new key depends on it.
 * @throws SignetError USAGE when there is none or the two differ.
 */
export async function readPassphrase(options: { file?: string | undefined; twice: boolean }): Promise<string> {
  const passphrase = await findPassphrase(options);
  if (passphrase === "") throw new SignetError("USAGE", "the passphrase is empty");
  return passphrase;
}

async function findPassphrase({ file, twice }: { file?: string | undefined; twice: boolean }): Promise<string> {
  if (file !== undefined) {
    try {
      return (await readFile(file, "utf8")).split(/\r?\n/, 1)[0]!;
    } catch (error) {
      throw fileError(file, error);
    }
  }
  const fromEnvironment = process.env.SIGNET_PASSPHRASE;
  if (fromEnvironment !== undefined) return fromEnvironment;
  if (!process.stdin.isTTY) {
    throw new SignetError("USAGE", "a passphrase is needed: give --passphrase-file, set SIGNET_PASSPHRASE, or type it");
  }
  const typed = await askHidden("Passphrase: ");
  if (twice && (await askHidden("The same again: ")) !== typed) {
    throw new SignetError("USAGE", "the two passphrases differ");
  }
  return typed;
}

/** Reads one line from the terminal without showing it; the question goes to stderr, where talk belongs. */
async function askHidden(question: string): Promise<string> {
  const { stdin, stderr } = process;
  stdin.setEncoding("utf8");
  // Before the question, so that nothing typed at once is shown.
  stdin.setRawMode(true);
  stderr.write(question);
  let typed: string[] = [];
  try {
    for await (const chunk of stdin.iterator({ destroyOnReturn: false })) {
      for (const character of String(chunk)) {
        if (character === "\r" || character === "\n") return typed.join("");
        if (character === CTRL_C || character === CTRL_D) throw new SignetError("USAGE", "no passphrase was typed");
        typed = BACKSPACES.includes(character) ? typed.slice(0, -1) : [...typed, character];
      }
    }
    throw new SignetError("USAGE", "no passphrase was typed");
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write("\n");
  }
}
