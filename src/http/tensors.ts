import { z } from "zod";
import { SignetError } from "../errors.ts";
import type { AnsweredOutput, InferInput, RequestedOutput } from "../service/index.ts";
import {
  isDatatype,
  type ParameterValue,
  quoteName,
  type RegionPlace,
  readCallParameters,
  type Tensor,
  tensorFromJson,
  tensorToJson,
} from "../tensor/index.ts";
import { parseJson, verifyForm } from "./json.ts";
import {
  decodeBinarySize,
  decodeClasses,
  decodeFlag,
  decodeParameters,
  decodePlace,
  parametersSchema,
} from "./parameters.ts";

/** An infer request in the server's own words. Its tensors are not yet checked against the service's. */
export interface InferRequest {
  /** The client's own id for the request; may be empty. */
  readonly id: string;
  readonly inputs: readonly InferInput[];
  /** The wanted outputs; empty for all. */
  readonly outputs: readonly RequestedOutput[];
  /** 0 is normal, 1 most urgent, larger less urgent. */
  readonly priority: number;
  /** How long the request may wait in the queue; null where the client does not say. */
  readonly queueTimeoutMs: number | null;
  /** What the protocol leaves to the service. */
  readonly parameters: ReadonlyMap<string, ParameterValue>;
  /** Whether an output is wanted as binary data instead of JSON. */
  isBinary(output: string): boolean;
}

export interface InferResponse {
  readonly json: Buffer;
  /** Binary data that follows the JSON, in the order of the outputs; null where none was asked for. */
  readonly binary: readonly Uint8Array[] | null;
}

/** A text that JSON.stringify writes as it is; TypeScript does not know it yet. */
const { rawJSON: rawJson } = JSON as unknown as { rawJSON(text: string): unknown };
/** The most inputs, outputs and parameters of each that a request may have. */
const MAX_PARTS = 1024;

/** Data is looked at element by element in tensorFromJson, and nowhere else: it may be long. */
const elements = z.custom<unknown[]>((value) => Array.isArray(value), "expected an array of elements");
export const inferRequestSchema = z.object({
  id: z.string().default(""),
  parameters: parametersSchema,
  inputs: z
    .array(
      z.object({
        name: z.string(),
        datatype: z.string(),
        shape: z.array(z.number()).max(MAX_PARTS),
        parameters: parametersSchema,
        data: elements.optional(),
        base64: z.string().optional(),
      }),
    )
    .max(MAX_PARTS),
  outputs: z
    .array(z.object({ name: z.string(), parameters: parametersSchema }))
    .max(MAX_PARTS)
    .default([]),
});
type JsonInput = z.output<typeof inferRequestSchema>["inputs"][number];

/**
 * An infer request: JSON, and behind it binary data where the header Inference-Header-Content-Length says how long the
 * JSON is. Binary data stays a view of the body; its alignment is whatever the body made it.
 * @throws REQUEST_MALFORMED, REQUEST_TOO_LARGE, NOT_IMPLEMENTED
 */
export function decodeInferRequest(body: Uint8Array, headerLength: string | undefined): InferRequest {
  const jsonBytes = headerLength === undefined ? body.length : readHeaderLength(headerLength, body.length);
  const request = verifyForm(inferRequestSchema, parseJson(body.subarray(0, jsonBytes)));
  const given = new Map(decodeParameters("the request", request.parameters));
  const isBinaryByDefault = decodeFlag("the request", "binary_data_output", given) ?? false;
  given.delete("binary_data_output");
  const binaryByOutput = new Map<string, boolean>();
  const outputs = request.outputs.map(({ name, parameters: json }) => {
    const where = `output ${quoteName(name)}`;
    const parameters = decodeParameters(where, json);
    binaryByOutput.set(name, decodeFlag(where, "binary_data", parameters) ?? isBinaryByDefault);
    return { name, classes: decodeClasses(where, parameters), place: decodePlace(where, parameters) };
  });
  return {
    id: request.id,
    inputs: decodeInputs(request.inputs, body.subarray(jsonBytes)),
    outputs,
    ...readCallParameters(given),
    isBinary: (output) => binaryByOutput.get(output) ?? isBinaryByDefault,
  };
}

function readHeaderLength(text: string, bodyBytes: number): number {
  const length = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (length > 0 && length <= bodyBytes) return length;
  throw malformed(
    `inference-header-content-length: expected the bytes of the JSON, 1 to ${bodyBytes}, found ${JSON.stringify(text.slice(0, 100))}`,
  );
}

function decodeInputs(inputs: readonly JsonInput[], binary: Uint8Array): InferInput[] {
  let offset = 0;
  const decoded = inputs.map((input): InferInput => {
    const { name, datatype, shape } = input;
    const where = `input ${quoteName(name)}`;
    if (!isDatatype(datatype)) {
      throw malformed(`${where}: expected a datatype of the protocol, found ${quoteName(datatype)}`);
    }
    const parameters = decodeParameters(where, input.parameters);
    const place = decodePlace(where, parameters);
    const size = decodeBinarySize(where, parameters);
    const isInJson = input.data !== undefined || input.base64 !== undefined;
    if ([place !== null, size !== null, isInJson].filter(Boolean).length > 1) {
      throw malformed(`${where}: expected one of data, binary data and shared memory, found more`);
    }
    if (place !== null) return { name, datatype, shape, data: new Uint8Array(0), place };
    if (size === null) return { ...tensorFromJson(input), place };
    if (size > binary.length - offset) {
      throw malformed(`${where}: expected ${size} bytes of binary data, found ${binary.length - offset}`);
    }
    offset += size;
    return { name, datatype, shape, data: binary.subarray(offset - size, offset), place };
  });
  if (offset === binary.length) return decoded;
  throw malformed(`binary data: expected ${offset} bytes for all inputs together, found ${binary.length}`);
}

/** The response: outputs as JSON or as binary data, as they were asked for. */
export function encodeInferResponse(
  { id, isBinary }: Pick<InferRequest, "id" | "isBinary">,
  { service, version, outputs }: { service: string; version: string; outputs: readonly AnsweredOutput[] },
): InferResponse {
  const binary: Uint8Array[] = [];
  let hasBinary = false;
  const encoded = outputs.map((output) => {
    const { name, datatype, shape, data, place } = output;
    if (place !== null) return { name, datatype, shape, parameters: encodePlace(place) };
    if (!isBinary(name)) return jsonFromTensor({ name, datatype, shape, data });
    hasBinary = true;
    binary.push(data);
    return { name, datatype, shape, parameters: { binary_data_size: data.byteLength } };
  });
  const message = { model_name: service, model_version: version, ...(id === "" ? {} : { id }), outputs: encoded };
  return { json: Buffer.from(JSON.stringify(message)), binary: hasBinary ? binary : null };
}

/** A tensor to be written as JSON: 64-bit integers have all their digits, where a double would round them. */
export function jsonFromTensor(from: Tensor): ReturnType<typeof tensorToJson> {
  const tensor = tensorToJson(from);
  if (tensor.datatype !== "INT64" && tensor.datatype !== "UINT64") return tensor;
  return { ...tensor, data: tensor.data!.map((value) => (typeof value === "string" ? rawJson(value) : value)) };
}

/** None of its bytes are in the body, which Triton's C++ client wants to read wherever an output has parameters. */
function encodePlace({ region, offset, byteSize }: RegionPlace) {
  const place = { shared_memory_region: region, shared_memory_byte_size: byteSize, shared_memory_offset: offset };
  return { ...place, binary_data_size: 0 };
}

function malformed(message: string): SignetError {
  return new SignetError("REQUEST_MALFORMED", message);
}
