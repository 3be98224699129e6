import { existsSync } from "node:fs";
import { SignetError } from "../errors.ts";
import { endBeforeOthersCommand } from "./end-before-others.ts";
import { type Place, placesFor } from "./places.ts";
import { findSystemFile, type SystemFile } from "./system-file.ts";

/**
 * bubblewrap, a program that starts another one in name spaces of its own. PATH has no say in which one is run: it makes
 * the sandbox.
 */
const directories = ["usr/bin", "usr/local/bin"];

/** The bwrap of a system; `reason` says why there is none to run. */
export function findBubblewrap(root = "/"): SystemFile {
  const places = directories.map((directory) => `/${directory}`).join(" or ");
  return findSystemFile("bwrap", root, directories) ?? { path: null, reason: `no bwrap in ${places}` };
}

/** A program and its arguments. */
export interface Command {
  readonly path: string;
  readonly args: readonly string[];
}

/**
 * `command` as bubblewrap runs it: it sees its own processes, no network, and no file but those that plugins may open;
 * all are read-only but its home, which it is in. Descriptors pass through.
 * @throws SANDBOX_UNAVAILABLE where there is no bubblewrap to run
 */
export function bubblewrapCommand(command: Command, home: string, hasGpus: boolean): Command {
  return wrap(requireBubblewrap("/"), command, [...placesFor(home, hasGpus).flatMap(mountOf), "--chdir", home]);
}

/**
 * A command that ends at once with 0 where a service could be started like it.
 * @throws SANDBOX_UNAVAILABLE where something is missing that can be told without a try
 */
export function bubblewrapTrial(root = "/"): Command {
  const bwrap = requireBubblewrap(root);
  // Who looks after a service finds its process by these; a kernel may be built without.
  if (!existsSync("/proc/thread-self/children")) {
    throw bubblewrapUnavailable("a kernel that does not list a process's children");
  }
  const shared = placesFor("/", true).filter(({ access }) => access !== "own");
  return wrap(bwrap, { path: process.execPath, args: ["--version"] }, shared.flatMap(mountOf));
}

export function bubblewrapUnavailable(found: string): SignetError {
  return new SignetError("SANDBOX_UNAVAILABLE", `sandbox: bwrap: expected bubblewrap to work here, found ${found}`);
}

function requireBubblewrap(root: string): string {
  const found = findBubblewrap(root);
  if (found.path === null) throw bubblewrapUnavailable(found.reason);
  return found.path;
}

// A terminal and systemd signal every process of the server at once, and bwrap would end by that, and with it a service
// whose jobs may still end. What is ignored stays so in the program that the shell becomes.
const deaf = ["-c", `trap "" HUP INT TERM; { ${endBeforeOthersCommand}; } 2>/dev/null; exec "$@"`, "sh"];

function wrap(bwrap: string, command: Command, mounts: readonly string[]): Command {
  const args = [
    ...["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-net", "--unshare-uts", "--unshare-cgroup"],
    // The machine's name is nobody else's business.
    ...["--hostname", "signet", "--cap-drop", "ALL", "--die-with-parent", "--new-session"],
    ...["--proc", "/proc", "--remount-ro", "/proc", ...mounts, "--remount-ro", "/"],
  ];
  return { path: "/bin/sh", args: [...deaf, bwrap, ...args, "--", command.path, ...command.args] };
}

const options = { read: "--ro-bind-try", use: "--dev-bind-try", own: "--bind" } as const;

/** Places below /proc are left to Landlock: those outside are about other processes. */
function mountOf({ path, access }: Place): string[] {
  return path.startsWith("/proc/") ? [] : [options[access], path, path];
}
