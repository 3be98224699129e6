import { type Command, CommanderError } from "commander";
import { errorCatalogue, SignetError } from "../errors.ts";

/** The words of both programs: data to stdout, talk to stderr, one line per error, exit codes from the catalogue. */

/** `program: CODE: message. Next step.` on one line; control characters of hostile input are shown, not obeyed. */
export function formatError(program: string, error: SignetError, next: string = error.next): string {
  const cause = error.code === "INTERNAL" && error.cause instanceof Error ? ` (${error.cause.message})` : "";
  return escapeControls(`${program}: ${error.code}: ${error.message}${cause}. ${next}`.replace(/\s*\n\s*/g, " "));
}

export interface DataFormat {
  readonly json?: boolean | undefined;
}

/**
 * Prints data to stdout: as JSON when asked, otherwise by `format`, which gives the text for people; `paint` adds
 * colors to it on a terminal.
 * @example printData(tokens, options, (list) => formatTable(["ID", "NAME"], list.map((t) => [t.id, t.name])));
 */
export function printData<T>(
  data: T,
  { json }: DataFormat,
  format: (data: T) => string,
  paint: (text: string) => string = (text) => text,
): void {
  const text = json === true ? JSON.stringify(data, null, 2) : paintForTerminal(escapeControls(format(data)), paint);
  if (text !== "") process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
}

/** Colors are for people who look at a terminal, and put in after the data's own control characters were shown. */
function paintForTerminal(text: string, paint: (text: string) => string): string {
  return process.stdout.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== "dumb" ? paint(text) : text;
}

/** Says something to the person at the terminal, on stderr. */
export function say(line: string): void {
  process.stderr.write(`${escapeControls(line)}\n`);
}

/**
 * Runs a commander program and sets the exit code: 0 ok, 1 failed, 2 usage or configuration, 3 refused.
 * Never ends the process while output is still on its way. Takes the arguments without node and script.
 */
export async function runProgram(program: Command, args: readonly string[]): Promise<void> {
  // Meant for those who write Signet, not for those who use it; grpc-js causes one when TLS goes to an IP address.
  process.noDeprecation = true;
  let current = program;
  prepare(program, (command) => {
    current = command;
  });
  guardStdout();
  // `help license install` is what people type too.
  const asked = args[0] === "help" ? [...args.slice(1), "--help"] : args;
  try {
    await program.parseAsync(asked, { from: "user" });
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return; // --help and --version
    if (thrown instanceof CommanderError && thrown.code === "commander.help") {
      process.exitCode = errorCatalogue.USAGE.exit; // a command without its subcommand, which has shown its help
      return;
    }
    const error = errorFromThrown(thrown);
    say(formatError(program.name(), error, nextFor(error, current)));
    process.exitCode = error.exitCode;
  }
}

function nextFor(error: SignetError, command: Command): string {
  if (error.code === "USAGE") return `\`${pathOf(command)} --help\` shows how it is called.`;
  const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
  const isPackageMissing = code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND";
  return isPackageMissing ? "Run `npm run setup` in Signet's folder, as after every update." : error.next;
}

/** `signet license install`. */
function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

let isStdoutGuarded = false;

/** A reader that went away (`signet … | head`) is no failure. */
function guardStdout(): void {
  if (isStdoutGuarded) return;
  isStdoutGuarded = true;
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
}

function errorFromThrown(thrown: unknown): SignetError {
  if (!(thrown instanceof CommanderError)) return SignetError.from(thrown);
  const words = thrown.message
    .replace(/^error: /, "")
    .replace(/\.$/, "")
    .replace(/\s*\n\s*/g, " ");
  return new SignetError("USAGE", words);
}

/**
 * Commander must throw, not exit, and print no error on its own; for every subcommand too.
 * @param onUse told which command is about to run, or was called with wrong words
 */
function prepare(command: Command, onUse: (command: Command) => void): void {
  command
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: () => onUse(command) })
    .hook("preAction", (_, used) => onUse(used));
  for (const child of command.commands) prepare(child, onUse);
}

/** Shows control characters, of whatever a stranger may have written, instead of obeying them. */
export function escapeControls(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
