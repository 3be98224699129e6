import { Command } from "commander";
import type { ResultDownload } from "../../../grpc/index.ts";
import { type ConnectionFlags, withConnection } from "../../connection.ts";
import { type DataFormat, printData, say } from "../../output.ts";
import { plural } from "../../plural.ts";
import { formatTable } from "../../text-layout.ts";
import { saveOutputs } from "./save-outputs.ts";
import { withJobsClient } from "./with-jobs-client.ts";

interface ResultOptions extends DataFormat, ConnectionFlags {
  readonly out?: string;
}

/** `signet jobs result`. */
export function jobResultCommand(): Command {
  const command = new Command("result")
    .description("Fetch the outputs of a job that succeeded: as JSON, or as files.")
    .argument("<id>", "the job's id, from `signet jobs submit` or `list`")
    .option("--out <directory>", "write each output into a file there, which is made if it is missing");
  return withConnection(command)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
A file has an output's raw bytes, as the protocol has them, and of a BYTES
output with one element that element. No file is overwritten.`,
    )
    .action(async (id: string, _, self: Command) => result(id, self.optsWithGlobals()));
}

async function result(id: string, options: ResultOptions): Promise<void> {
  await withJobsClient(options, async (client) => {
    const download = await client.result(id);
    if (options.out === undefined) return await print(download, options);
    const files = await saveOutputs(download, options.out);
    printData(files, options, (all) => {
      const rows = all.map(({ name, datatype, shape, bytes, file }) => [
        name,
        datatype,
        `[${shape}]`,
        `${bytes}`,
        file,
      ]);
      return formatTable(["OUTPUT", "DATATYPE", "SHAPE", "BYTES", "FILE"], rows);
    });
    say(`${plural(files.length, "file")} written.`);
  });
}

async function print({ outputs, chunks }: ResultDownload, options: DataFormat): Promise<void> {
  const { tensorToJson } = await import("../../../tensor/index.ts");
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  const all = Buffer.concat(parts);
  let at = 0;
  const tensors = outputs.map(({ bytes, ...output }) => {
    at += bytes;
    return tensorToJson({ ...output, data: all.subarray(at - bytes, at) });
  });
  printData({ outputs: tensors }, { ...options, json: true }, () => "");
}
