import { readFileSync } from "node:fs";
import { SignetError } from "../errors.ts";

/** How this process was started: what decides which code runs in it before ours does. */
export interface Launch {
  /** The environment it began with, as in /proc/PID/environ: `NAME=value`, each ended by a NUL. */
  readonly environ: string;
  /** Node's own options. */
  readonly nodeOptions: readonly string[];
}

// Each of these brings code from a file into the process: the dynamic linker's, glibc's, Node's and OpenSSL's.
const bringsCode =
  /^(?:LD_\w+|GLIBC_TUNABLES|GCONV_PATH|NODE_OPTIONS|NODE_PATH|NODE_REPL_EXTERNAL_MODULE|NODE_COMPILE_CACHE|OPENSSL_(?:CONF|MODULES|ENGINES))$/;

/** Whether a variable of this name brings code into a process. */
export function isUnsafeVariable(name: string): boolean {
  return bringsCode.test(name);
}

/** What bin/signet gives. Without it SIGUSR1 opens a debugger; any other could be --require or --inspect. */
const expectedOptions = ["--disable-sigusr1"];

/** /proc keeps the environment of the start, also where a preloaded library has removed its traces from process.env. */
export function readLaunch(): Launch {
  return { environ: readFileSync("/proc/self/environ", "latin1"), nodeOptions: process.execArgv };
}

/**
 * Refuses to go on where something was told to bring its own code into this process. It stops what was left in an
 * environment and the simple attack; code that is in here already could lie to it.
 * @throws ENVIRONMENT_UNSAFE
 */
export function verifyLaunch({ environ, nodeOptions }: Launch): void {
  const variables = environ.split("\0").map((entry) => {
    const end = entry.indexOf("=");
    return end < 0 ? { name: entry, value: "" } : { name: entry.slice(0, end), value: entry.slice(end + 1) };
  });
  // Set to nothing is as good as not set.
  const unsafe = variables.find(({ name, value }) => value !== "" && isUnsafeVariable(name));
  if (unsafe !== undefined) {
    throw new SignetError("ENVIRONMENT_UNSAFE", `environment: expected no ${unsafe.name}, found it set`);
  }
  const option = nodeOptions.find((each) => !expectedOptions.includes(each));
  if (option !== undefined) {
    throw new SignetError("ENVIRONMENT_UNSAFE", `Node's options: expected no ${option.split("=")[0]}, found it`);
  }
  const missing = expectedOptions.find((each) => !nodeOptions.includes(each));
  if (missing !== undefined) {
    throw new SignetError("ENVIRONMENT_UNSAFE", `Node's options: expected ${missing}, found none of that name`);
  }
}
