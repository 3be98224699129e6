import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { Command } from "commander";
import { z } from "zod";
import type { Reading, RgbImage } from "../../../clients/processing/index.ts";
import { fileError, SignetError } from "../../errors.ts";
import type { InferenceClient } from "../../grpc/index.ts";
import { type ConnectionFlags, connectionFrom, withConnection } from "../connection.ts";
import { type DataFormat, printData, say } from "../output.ts";

interface InferOptions extends DataFormat, ConnectionFlags {
  readonly raw?: boolean;
}

/** What was read from one picture. */
interface Answer extends Reading {
  readonly file: string;
}

/** `signet infer`: a client for people. */
export function inferCommand(): Command {
  const command = new Command("infer")
    .description("Ask a running server to run a service on pictures, or on raw tensors.")
    .helpCommand(false)
    .argument("<service>", "the service's name")
    .argument("<file...>", "pictures (PNG, JPEG, WebP, GIF, TIFF); with --raw, one JSON file, - for standard input")
    .option("--raw", "send the tensors of a JSON file and print those that come back");
  return withConnection(command)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
How a picture becomes tensors, and tensors an answer, is what the vendor wrote
into the service's parameters. One picture is one licensed run, or two where the
first answer leaves a doubt and the picture is tried upside down. Exit code 1
when a picture cannot be read.

Examples:
  $ signet infer text-recognizer line.png
  $ signet infer text-recognizer scans/*.png --json
  $ echo '{"inputs": [{"name": "input", "datatype": "FP32",
      "shape": [2], "data": [1, 2]}]}' | signet infer identity --raw -`,
    )
    .action(async (service: string, files: string[], _, self: Command) =>
      infer(service, files, self.optsWithGlobals()),
    );
}

async function infer(service: string, files: readonly string[], options: InferOptions): Promise<void> {
  const { InferenceClient } = await import("../../grpc/index.ts");
  const client = new InferenceClient(await connectionFrom(options));
  try {
    if (options.raw) await inferRaw(client, service, files, options);
    else await inferPictures(client, service, files, options);
  } finally {
    client.close();
  }
}

async function inferPictures(
  client: InferenceClient,
  service: string,
  files: readonly string[],
  options: InferOptions,
): Promise<void> {
  const { processingFor, ProcessingError } = await import("../../../clients/processing/index.ts");
  const config = await client.modelConfig(service);
  const parameters = Object.fromEntries(
    Object.entries(config.parameters).map(([name, { string_value }]) => [name, string_value]),
  );
  if (parameters.processing === undefined) {
    throw new SignetError(
      "USAGE",
      `service ${service} does not say how a picture is prepared; send tensors with --raw`,
    );
  }
  const answers: Answer[] = [];
  try {
    const processing = processingFor(parameters.processing);
    for (const file of files) {
      const reading = await processing.read(await readPicture(file), parameters, (inputs) =>
        client.infer(service, inputs).catch((error) => {
          throw files.length > 1 ? nameFile(file, error) : error;
        }),
      );
      answers.push({ file, ...reading });
      // One by one, so that a long list shows its answers as they come.
      if (!options.json) printData(answers.at(-1)!, {}, (answer) => formatAnswer(answer, files.length > 1));
    }
  } catch (error) {
    if (!(error instanceof ProcessingError)) throw error;
    throw new SignetError(error.code === "IMAGE_UNREADABLE" ? "FILE_UNREADABLE" : "USAGE", error.message, {
      cause: error,
    });
  }
  if (options.json) printData(answers, options, () => "");
  const unreadable = answers.filter((answer) => !answer.readable);
  for (const { file, confidence } of unreadable) {
    say(`${file}: no text could be read (confidence ${confidence.toFixed(2)})`);
  }
  if (unreadable.length > 0) process.exitCode = 1;
}

/** The server does not know which picture it was. */
function nameFile(file: string, thrown: unknown): SignetError {
  const error = SignetError.from(thrown);
  return new SignetError(error.code, `${file}: ${error.message}`, { cause: error });
}

async function readPicture(file: string): Promise<RgbImage> {
  const { readImage } = await import("../../../clients/node/index.ts");
  const { ProcessingError } = await import("../../../clients/processing/index.ts");
  return readImage(file).catch((error) => {
    // The system's refusal in the words that both programs have for it.
    const isFileError = error instanceof ProcessingError && error.code === "IMAGE_UNREADABLE";
    throw isFileError && error.cause !== undefined ? fileError(file, error.cause) : error;
  });
}

function formatAnswer({ file, text, readable }: Answer, withFile: boolean): string {
  if (!readable) return withFile ? `${file}\t` : "";
  return withFile ? `${file}\t${text}` : text;
}

async function inferRaw(
  client: InferenceClient,
  service: string,
  files: readonly string[],
  options: InferOptions,
): Promise<void> {
  const { tensorFromJson, tensorToJson } = await import("../../tensor/index.ts");
  const [file, ...more] = files;
  if (file === undefined || more.length > 0)
    throw new SignetError("USAGE", "--raw takes one file, - for standard input");
  const source = file === "-" ? "standard input" : file;
  const inputs = await inputsFrom(await readText(file, source), source);
  const outputs = await client.infer(service, inputs.map(tensorFromJson));
  printData({ outputs: outputs.map(tensorToJson) }, { ...options, json: true }, () => "");
}

async function inputsFrom(json: string, source: string) {
  const { jsonTensorSchema } = await import("../../tensor/index.ts");
  try {
    return z.object({ inputs: z.array(jsonTensorSchema) }).parse(JSON.parse(json)).inputs;
  } catch (error) {
    throw new SignetError(
      "USAGE",
      `${source}: expected {"inputs": [{"name", "datatype", "shape", "data"}]} in JSON, found something else`,
      { cause: error },
    );
  }
}

async function readText(file: string, source: string): Promise<string> {
  try {
    return file === "-" ? await text(process.stdin) : await readFile(file, "utf8");
  } catch (error) {
    throw fileError(source, error);
  }
}
