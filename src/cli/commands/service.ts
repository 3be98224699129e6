import { Command } from "commander";
import { type ConnectionFlags, connectionFrom, withConnection } from "../connection.ts";
import { type DataFormat, printData, say } from "../output.ts";

type ReleaseOptions = DataFormat & ConnectionFlags;

/** `signet service`: what operators do with single services of a running server. */
export function serviceCommand(): Command {
  const command = new Command("service").description("Act on a service of a running server.").helpCommand(false);
  command.addCommand(releaseCommand());
  return command;
}

function releaseCommand(): Command {
  const command = new Command("release")
    .description("Start a service again that is quarantined because its process ended too often.")
    .argument("<name>", "the service's name");
  return withConnection(command)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Waits until the service takes calls, or says why it does not. Look first at
\`signet status\` and \`signet logs --service NAME\`: a service is quarantined
because what happened would most likely happen again.

Example:
  $ signet service release ocr`,
    )
    .action(async (name: string, _, self: Command) => release(name, self.optsWithGlobals()));
}

async function release(service: string, options: ReleaseOptions): Promise<void> {
  const { AdminClient } = await import("../../grpc/index.ts");
  const client = new AdminClient(await connectionFrom(options));
  try {
    await client.release(service);
    printData({ service, state: "ready" }, options, () => "");
    say(`Service ${service} takes calls.`);
  } finally {
    client.close();
  }
}
