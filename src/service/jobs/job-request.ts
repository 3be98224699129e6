import { createHash } from "node:crypto";
import type { Artifact, ArtifactStore } from "../../artifacts/index.ts";
import { SignetError } from "../../errors.ts";
import { datatypes, elementCount, isDatatype, quoteName, type Tensor, type TensorSpec } from "../../tensor/index.ts";
import type { InferInput } from "../infer-tensors.ts";
import { formatTensorFile, type TensorEntry, type TensorFileHeader } from "./tensor-file.ts";

/** An input whose bytes were uploaded. */
export interface ArtifactInput {
  readonly name: string;
  readonly sha256: string;
  /** Empty for the service's. */
  readonly datatype: string;
  /** Empty where the artifact's size says it. */
  readonly shape: readonly number[];
}

const SHA256 = /^[0-9a-f]{64}$/;

/**
 * Inputs that were uploaded, as entries of a tensor file. Their bytes are looked at when the job runs; that there are as
 * many as the shape says is known now.
 * @throws REQUEST_MALFORMED, ARTIFACT_NOT_FOUND
 */
export async function artifactEntries(
  artifacts: ArtifactStore,
  inputs: readonly ArtifactInput[],
  specs: readonly TensorSpec[],
): Promise<TensorEntry[]> {
  // Before anything is looked for: a message has room for very many names.
  if (inputs.length > specs.length) {
    throw malformed(`artifact_inputs: expected at most ${specs.length} of the service, found ${inputs.length}`);
  }
  return await Promise.all(
    inputs.map(async (input) => {
      const spec = specs.find(({ name }) => name === input.name);
      const where = `artifact input ${quoteName(input.name)}`;
      if (spec === undefined) throw malformed(`${where}: expected an input of the service, found another name`);
      if (!SHA256.test(input.sha256)) throw malformed(`${where}: expected a digest of 64 hex digits as sha256`);
      const artifact = await artifacts.find(input.sha256);
      if (artifact === undefined) throw new SignetError("ARTIFACT_NOT_FOUND", `${where}: ${input.sha256} is not here`);
      return entryOf(where, input, spec, artifact);
    }),
  );
}

function entryOf(where: string, input: ArtifactInput, spec: TensorSpec, { bytes, sha256 }: Artifact): TensorEntry {
  const { name } = input;
  const datatype = input.datatype === "" ? spec.datatype : input.datatype;
  if (!isDatatype(datatype))
    throw malformed(`${where}: expected a datatype of the protocol, found ${quoteName(datatype)}`);
  const size = datatypes[datatype].bytes;
  if (size === null) {
    const isOne = input.shape.length === 0 ? spec.shape.length === 1 : elementCount(input.shape) === 1;
    if (!isOne) throw malformed(`${where}: expected one BYTES element, found shape [${input.shape.join(",")}]`);
    return { name, datatype, shape: input.shape.length === 0 ? [1] : [...input.shape], bytes, sha256 };
  }
  if (input.shape.length === 0 && spec.shape.length !== 1) {
    throw malformed(`${where}: expected a shape of ${spec.shape.length} dimensions, found none`);
  }
  const shape = input.shape.length === 0 ? [bytes / size] : [...input.shape];
  const expected = elementCount(shape) * size;
  if (expected !== bytes) {
    throw malformed(`${where}: expected ${expected} bytes for ${datatype} [${shape.join(",")}], found ${bytes}`);
  }
  return { name, datatype, shape, bytes, sha256 };
}

/** A request as bytes that last. */
export function formatJobRequest(
  requestId: string,
  inputs: readonly Tensor[],
  artifacts: readonly TensorEntry[],
  wanted: TensorFileHeader["wanted"],
): Uint8Array[] {
  const tensors = inputs.map(({ name, datatype, shape, data }) => ({
    ...{ name, datatype, shape: [...shape], bytes: data.byteLength },
  }));
  return formatTensorFile(
    { requestId, tensors: [...tensors, ...artifacts], wanted },
    inputs.map(({ data }) => data),
  );
}

/** All that tells a request from another, as SHA-256 in hex. */
export function digestOf(terms: unknown, pieces: readonly Uint8Array[]): string {
  const hash = createHash("sha256").update(JSON.stringify(terms));
  for (const piece of pieces) hash.update(piece);
  return hash.digest("hex");
}

/** The inputs of a request as a call has them. @param data of each, in order; of an artifact as it was uploaded */
export function inputsOf({ tensors }: TensorFileHeader, data: readonly Uint8Array[]): InferInput[] {
  return tensors.map(({ name, datatype, shape, sha256 }, index) => {
    const isElement = sha256 !== undefined && datatype === "BYTES";
    return { name, datatype, shape, data: isElement ? asElement(data[index]!) : data[index]!, place: null };
  });
}

/** BYTES elements are preceded by their length. */
function asElement(bytes: Uint8Array): Uint8Array {
  const element = Buffer.allocUnsafeSlow(4 + bytes.byteLength);
  element.writeUInt32LE(bytes.byteLength);
  element.set(bytes, 4);
  return element;
}

function malformed(message: string): SignetError {
  return new SignetError("REQUEST_MALFORMED", message);
}
