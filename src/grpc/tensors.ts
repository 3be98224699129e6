import { SignetError } from "../errors.ts";
import { isDatatype, quoteName, type Tensor } from "../tensor/index.ts";
import type { InferRequestMessage, InferResponseMessage } from "./messages.ts";
import { decodeParameters, type ParameterValue, refuseTensorParameters } from "./parameters.ts";
import { hasContents, tensorDataFromContents } from "./typed-contents.ts";

/** A ModelInfer request in the server's own words. Its tensors are not yet checked against the service's. */
export interface InferRequest {
  readonly service: string;
  /** Empty for the licensed version. */
  readonly version: string;
  /** The client's own id for the request; may be empty. */
  readonly id: string;
  readonly inputs: readonly Tensor[];
  /** The wanted outputs; empty for all. */
  readonly outputs: readonly string[];
  /** 0 is normal, 1 most urgent, larger less urgent. */
  readonly priority: number;
  /** How long the request may wait in the queue; null where the client does not say. */
  readonly queueTimeoutMs: number | null;
  /** What the protocol leaves to the service. */
  readonly parameters: ReadonlyMap<string, ParameterValue>;
}

/**
 * Raw data stays a view of the received message; its alignment is whatever the message made it.
 * @throws REQUEST_MALFORMED, REQUEST_TOO_LARGE, NOT_IMPLEMENTED
 */
export function decodeInferRequest(message: InferRequestMessage): InferRequest {
  if (message.malformed !== undefined) throw message.malformed;
  const outputs = message.outputs.map(({ name, parameters }) => {
    refuseTensorParameters(`output ${quoteName(name)}`, parameters);
    return name;
  });
  const { priority, queueTimeoutMs, parameters } = decodeParameters(message.parameters);
  return {
    service: message.model_name,
    version: message.model_version,
    id: message.id,
    inputs: decodeInputs(message),
    outputs,
    priority,
    queueTimeoutMs,
    parameters,
  };
}

function decodeInputs({ inputs, raw_input_contents: raw }: InferRequestMessage): Tensor[] {
  for (const input of inputs) refuseTensorParameters(`input ${quoteName(input.name)}`, input.parameters);
  if (raw.length > 0) {
    const typed = inputs.find((input) => hasContents(input.contents));
    if (typed !== undefined) {
      const where = `input ${quoteName(typed.name)}`;
      throw malformed(`${where}: contents field must not be specified when using raw_input_contents`);
    }
    if (raw.length !== inputs.length) {
      throw malformed(
        `raw_input_contents: expected one entry for each of ${inputs.length} inputs, found ${raw.length}`,
      );
    }
  }
  return inputs.map((input, index) => {
    const { name, datatype } = input;
    const where = `input ${quoteName(name)}`;
    if (!isDatatype(datatype)) {
      throw malformed(`${where}: expected a datatype of the protocol, found ${quoteName(datatype)}`);
    }
    const data = raw.length > 0 ? raw[index]! : tensorDataFromContents(where, datatype, input.contents);
    // A size beyond 2^53 loses its last digits here and is then refused as no safe integer.
    return { name, datatype, shape: input.shape.map(Number), data };
  });
}

/**
 * The response: the requested outputs in the request's order, all of them when it named none, each with its
 * raw contents at the same index, since clients read raw_output_contents[i] without looking whether it is there.
 */
export function encodeInferResponse(
  request: Pick<InferRequest, "service" | "id" | "outputs">,
  version: string,
  outputs: readonly Tensor[],
): InferResponseMessage {
  const wanted = request.outputs.length === 0 ? outputs : request.outputs.map((name) => findOutput(outputs, name));
  return {
    model_name: request.service,
    model_version: version,
    id: request.id,
    parameters: {},
    outputs: wanted.map(({ name, datatype, shape }) => ({ name, datatype, shape: [...shape] })),
    raw_output_contents: wanted.map(({ data }) => data),
  };
}

function findOutput(outputs: readonly Tensor[], name: string): Tensor {
  const output = outputs.find((candidate) => candidate.name === name);
  if (output === undefined)
    throw malformed(`output ${quoteName(name)}: expected an output of the service, found another name`);
  return output;
}

function malformed(message: string): SignetError {
  return new SignetError("REQUEST_MALFORMED", message);
}
