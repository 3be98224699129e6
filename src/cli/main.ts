import { readFileSync } from "node:fs";
import { Command } from "commander";
import { accessCommand } from "./commands/access.ts";
import { auditCommand } from "./commands/audit.ts";
import { certsCommand } from "./commands/certs.ts";
import { checkCommand } from "./commands/check.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { hostCommand } from "./commands/host.ts";
import { inferCommand } from "./commands/infer.ts";
import { jobsCommand } from "./commands/jobs.ts";
import { licenseCommand } from "./commands/license.ts";
import { logsCommand } from "./commands/logs.ts";
import { pluginCommand } from "./commands/plugin.ts";
import { serveCommand } from "./commands/serve.ts";
import { serviceCommand } from "./commands/service.ts";
import { statusCommand } from "./commands/status.ts";
import { trustCommand } from "./commands/trust.ts";
import { runProgram } from "./output.ts";

/** The `signet` program. Every file of commands/ exports one function that makes its command. */
export function createProgram(): Command {
  const program = new Command("signet")
    .description("An inference server that runs only what its vendor signed, only on the host that was licensed.")
    .version(version(), "-V, --version", "print the version")
    .option(
      "--data <directory>",
      "the data directory (default: $SIGNET_DATA, else /var/lib/signet for root, else $XDG_DATA_HOME/signet, else ~/.local/share/signet)",
    )
    .helpCommand(false)
    .addHelpText("after", examples);
  const commands = [
    hostCommand(),
    trustCommand(),
    licenseCommand(),
    checkCommand(),
    doctorCommand(),
    accessCommand(),
    auditCommand(),
    certsCommand(),
    serveCommand(),
    inferCommand(),
    jobsCommand(),
    statusCommand(),
    logsCommand(),
    serviceCommand(),
    pluginCommand(),
  ];
  for (const command of commands) program.addCommand(command);
  return program;
}

const examples = `
Examples:
  $ signet host request --out host.req
  $ signet trust add root.pem
  $ signet license install bundle
  $ signet access add --name web-shop --role client --service text-recognizer
  $ signet access list --json

Exit codes: 0 ok, 1 failed, 2 wrong usage or configuration, 3 refused by license
or verification.`;

function version(): string {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}

if (import.meta.main) await runProgram(createProgram(), process.argv.slice(2));
