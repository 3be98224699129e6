import { readFileSync } from "node:fs";
import { Command } from "commander";
import { runProgram } from "../../src/cli/index.ts";
import { inspectCommand } from "./commands/inspect.ts";
import { issueCommand } from "./commands/issue.ts";
import { registerCommand } from "./commands/register.ts";
import { revokeCommand } from "./commands/revoke.ts";
import { vendorCommand } from "./commands/vendor.ts";

/** The `signet-license` program: the vendor's desk. The only part of Signet that has a use for a private key. */
export function createProgram(): Command {
  const program = new Command("signet-license")
    .description("Issues licenses for hosts: what may run there, how often and how long.")
    .version(version(), "-V, --version", "print the version")
    .helpCommand(false)
    .addHelpText("after", examples);
  for (const command of [vendorCommand(), issueCommand(), revokeCommand(), registerCommand(), inspectCommand()])
    program.addCommand(command);
  return program;
}

const examples = `
Examples:
  $ signet-license vendor init --name "ACME Vision" --out acme
  $ signet-license inspect host.req
  $ signet-license issue --request host.req --services services.yaml \\
      --vendor acme --out bundle

Exit codes: 0 ok, 1 failed, 2 wrong usage or configuration, 3 refused by license
or verification.`;

function version(): string {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}

if (import.meta.main) await runProgram(createProgram(), process.argv.slice(2));
