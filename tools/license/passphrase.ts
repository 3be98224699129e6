import { readFile } from "node:fs/promises";
import { say } from "../../src/cli/index.ts";
import { fileError, SignetError } from "../../src/errors.ts";
import { MIN_PASSPHRASE_CHARACTERS } from "./signing-key.ts";

const CTRL_C = "\u0003";
const CTRL_D = "\u0004";
const BACKSPACES = ["\u007f", "\b"];
/** What a shell reports of a program that Ctrl-C has ended. */
const INTERRUPTED = 130;
const TRIES = 3;

export interface PassphraseSource {
  /** A file that has it in its first line. */
  readonly file?: string | undefined;
  /** Whether keys are about to be encrypted with it: then it must be long enough, and is typed twice. */
  readonly isNew: boolean;
}

/**
 * The passphrase of the vendor's keys: from a file (its first line), else from SIGNET_PASSPHRASE, else typed on the
 * terminal without echo. Ctrl-C at the prompt ends the program.
 * @throws SignetError USAGE when there is none or it will not do
 */
export async function readPassphrase({ file, isNew }: PassphraseSource): Promise<string> {
  const given = file === undefined ? process.env.SIGNET_PASSPHRASE : await readFirstLine(file);
  if (given === undefined) return isNew ? await askForNew() : await askForPresent();
  if (given === "") throw new SignetError("USAGE", "the passphrase is empty");
  const fault = isNew ? faultOf(given) : undefined;
  if (fault !== undefined) throw new SignetError("USAGE", fault);
  return given;
}

async function readFirstLine(file: string): Promise<string> {
  try {
    return (await readFile(file, "utf8")).split(/\r?\n/, 1)[0]!;
  } catch (error) {
    throw fileError(file, error);
  }
}

async function askForPresent(): Promise<string> {
  const typed = await askHidden("Passphrase: ");
  if (typed === "") throw new SignetError("USAGE", "no passphrase was typed");
  return typed;
}

async function askForNew(): Promise<string> {
  for (let tries = 1; ; tries++) {
    const typed = await askHidden(`New passphrase, ${MIN_PASSPHRASE_CHARACTERS} characters or more: `);
    const fault =
      faultOf(typed) ?? ((await askHidden("The same again: ")) === typed ? undefined : "the two passphrases differ");
    if (fault === undefined) return typed;
    if (tries === TRIES) throw new SignetError("USAGE", fault);
    say(`Not taken: ${fault}. Try again.`);
  }
}

function faultOf(passphrase: string): string | undefined {
  const { length } = [...passphrase];
  if (length >= MIN_PASSPHRASE_CHARACTERS) return undefined;
  return `the passphrase is too short, expected ${MIN_PASSPHRASE_CHARACTERS} characters or more`;
}

/** Reads one line from the terminal without showing it; the question goes to stderr, where talk belongs. */
async function askHidden(question: string): Promise<string> {
  const { stdin, stderr } = process;
  if (!stdin.isTTY) {
    throw new SignetError("USAGE", "a passphrase is needed: give --passphrase-file, set SIGNET_PASSPHRASE, or type it");
  }
  stdin.setEncoding("utf8");
  // Before the question, so that nothing typed at once is shown.
  stdin.setRawMode(true);
  stderr.write(question);
  let typed: string[] = [];
  try {
    for await (const chunk of stdin.iterator({ destroyOnReturn: false })) {
      for (const character of String(chunk)) {
        if (character === "\r" || character === "\n") return typed.join("");
        if (character === CTRL_C) interrupt();
        if (character === CTRL_D) throw new SignetError("USAGE", "no passphrase was typed");
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

/** The terminal does not make a signal of Ctrl-C while it is raw. */
function interrupt(): never {
  process.stdin.setRawMode(false);
  process.stderr.write("\n");
  process.exit(INTERRUPTED);
}
