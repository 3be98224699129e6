import { z } from "zod";
import { SignetError } from "../errors.ts";
import type { AnsweredOutput, Inference, InferInput } from "../service/index.ts";
import {
  type CallParameters,
  elementCount,
  quoteName,
  readCallParameters,
  type TensorSpec,
  tensorFromJson,
} from "../tensor/index.ts";
import { Answer, type Call } from "./call.ts";
import { licenseHeaders } from "./infer.ts";
import { parseJson, verifyForm } from "./json.ts";
import { decodeParameters, parametersSchema } from "./parameters.ts";
import { jsonFromTensor } from "./tensors.ts";

/** What is beside the values of inputs, whose names only the service knows. */
export const generateRequestSchema = z.looseObject({
  id: z.string().default(""),
  parameters: parametersSchema,
});

interface GenerateRequest extends CallParameters {
  readonly id: string;
  readonly inputs: readonly InferInput[];
}

/** The most inputs and parameters together that a request may have. */
const MAX_PARTS = 1024;

/** One inference whose inputs and outputs are plain values by name, as one JSON object. */
export async function generate(inference: Inference, call: Call): Promise<Answer> {
  const { values, headers } = await run(inference, call);
  return new Answer(200, Buffer.from(values), headers);
}

/**
 * The same as server-sent events, one for each response. Services answer a request once, so that there is one event;
 * what fails has failed before it, and is answered with a status as everywhere else.
 */
export async function generateStream(inference: Inference, call: Call): Promise<Answer> {
  const { values, headers } = await run(inference, call);
  const event = Buffer.from(`data: ${values}\n\n`); // JSON has no line breaks of its own
  return new Answer(200, event, { ...headers, "content-type": "text/event-stream; charset=utf-8" });
}

async function run(inference: Inference, call: Call) {
  const service = call.part("model");
  const { identity, peer, signal } = call;
  // Before its body is read, which may be large.
  identity.require("infer", service);
  const { conf } = inference.find(service, call.part("version"));
  const { id, ...request } = decodeGenerateRequest(await call.body(), conf.inputs);
  const { version, outputs, nearEnd } = await inference.infer(identity, {
    service,
    version: call.part("version"),
    id,
    ...request,
    outputs: [],
    peer,
    deadlineMs: Number.POSITIVE_INFINITY, // HTTP has none: the service's own applies
    signal,
  });
  return {
    values: encodeGenerateResponse({ id, service, version, outputs }),
    headers: nearEnd === null ? {} : licenseHeaders(nearEnd),
  };
}

/**
 * Values beside `id` and `parameters` are inputs where the service has them, and so are those in `parameters`; all
 * others are parameters of the request.
 * @throws REQUEST_MALFORMED, REQUEST_TOO_LARGE, NOT_IMPLEMENTED
 */
export function decodeGenerateRequest(body: Uint8Array, specs: readonly TensorSpec[]): GenerateRequest {
  const { id, parameters = {}, ...others } = verifyForm(generateRequestSchema, parseJson(body));
  const given = [...Object.entries(others), ...Object.entries(parameters)];
  if (given.length > MAX_PARTS) throw malformed(`expected at most ${MAX_PARTS} inputs and parameters, found more`);
  const inputs: InferInput[] = [];
  const rest = new Map<string, unknown>();
  for (const [name, value] of given) {
    const spec = specs.find((each) => each.name === name);
    if (spec !== undefined) inputs.push({ ...tensorFromValue(spec, value), place: null });
    else if (rest.has(name)) throw malformed(`parameter ${quoteName(name)}: expected it once, found it twice`);
    else rest.set(name, value);
  }
  return { id, inputs, ...readCallParameters(decodeParameters("the request", Object.fromEntries(rest))) };
}

function tensorFromValue(spec: TensorSpec, value: unknown) {
  const { name, datatype } = spec;
  const data = Array.isArray(value) ? value : [value];
  return tensorFromJson({ name, datatype, shape: shapeOf(spec, value), data });
}

/** Nested as the service's shape is, or flat: then the last dimension that is free takes what there is, the others 1. */
function shapeOf({ name, shape }: TensorSpec, value: unknown): number[] {
  const nested: number[] = [];
  for (let level = value; Array.isArray(level); level = level[0]) nested.push(level.length);
  if (nested.length === shape.length) return nested;
  if (nested.length > 1) {
    throw malformed(
      `input ${quoteName(name)}: expected ${shape.length} levels of lists or one, found ${nested.length}`,
    );
  }
  const fixed = shape.filter((size) => size !== -1).reduce((product, size) => product * size, 1);
  const free = shape.lastIndexOf(-1);
  const count = nested[0] ?? 1;
  // What does not divide is refused where elements are counted.
  return shape.map((size, axis) => (size !== -1 ? size : axis === free ? Math.floor(count / fixed) || 0 : 1));
}

interface Generated {
  readonly id: string;
  readonly service: string;
  readonly version: string;
  readonly outputs: readonly AnsweredOutput[];
}

/** JSON in one line. */
export function encodeGenerateResponse({ id, service, version, outputs }: Generated): string {
  const values = outputs.map(({ place: _, ...tensor }) => {
    const { data, base64 } = jsonFromTensor(tensor);
    if (data === undefined) return [tensor.name, { base64 }];
    return [tensor.name, elementCount(tensor.shape) === 1 ? data[0] : data];
  });
  const about = { model_name: service, model_version: version, ...(id === "" ? {} : { id }) };
  return JSON.stringify({ ...about, ...Object.fromEntries(values) });
}

function malformed(message: string): SignetError {
  return new SignetError("REQUEST_MALFORMED", message);
}
