import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { fileError } from "../../../errors.ts";
import type { JobSubmission, JobsClient } from "../../../grpc/index.ts";
import { datatypes, isDatatype } from "../../../tensor/index.ts";
import { fitShape } from "./fit-shape.ts";
import type { InputSpec, InputWord } from "./input-word.ts";
import { fileOf } from "./job-input.ts";

const PIECE_BYTES = 1 << 20;

/** Sends a file ahead, never whole in memory, and says how a job names it. @throws USAGE, FILE_UNREADABLE, ARTIFACT_TOO_LARGE */
export async function uploadArtifact(
  client: JobsClient,
  word: InputWord,
  spec: InputSpec,
): Promise<JobSubmission["artifactInputs"][number]> {
  const file = fileOf(word);
  const { size: bytes } = await stat(file).catch((error) => {
    throw fileError(file, error);
  });
  const shape = word.shape ?? shapeOf(spec, bytes);
  const { sha256 } = await client.upload(piecesOf(file), bytes);
  return { name: word.name, sha256, datatype: spec.datatype, shape: [...shape] };
}

function shapeOf(spec: InputSpec, bytes: number): readonly number[] {
  const size = isDatatype(spec.datatype) ? datatypes[spec.datatype].bytes : null;
  return fitShape(spec, size === null ? 1 : bytes / size);
}

async function* piecesOf(file: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of createReadStream(file, { highWaterMark: PIECE_BYTES })) yield piece as Uint8Array;
  } catch (error) {
    throw fileError(file, error);
  }
}
