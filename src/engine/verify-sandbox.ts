import { spawnSync } from "node:child_process";
import {
  bubblewrapTrial,
  bubblewrapUnavailable,
  readSandboxFacts,
  type Sandbox,
  type SandboxFacts,
} from "../plugin/index.ts";

/** Makes sure, by a try, that services can be started in this sandbox. @throws SANDBOX_UNAVAILABLE */
export function verifySandbox(sandbox: Exclude<Sandbox, "none">, root = "/"): SandboxFacts {
  const facts = readSandboxFacts();
  if (sandbox === "bwrap") tryBubblewrap(root);
  return facts;
}

function tryBubblewrap(root: string): void {
  const { path, args } = bubblewrapTrial(root);
  const { error, status, signal, stderr } = spawnSync(path, args, { env: {}, cwd: "/", encoding: "utf8" });
  if (status === 0) return;
  const words = stderr?.trim().split("\n")[0] || error?.message || `it ended by ${signal ?? `exit status ${status}`}`;
  throw bubblewrapUnavailable(`it could not start a program in name spaces of its own: ${words}`);
}
