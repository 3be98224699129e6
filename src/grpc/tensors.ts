import { SignetError } from "../errors.ts";
import type { AnsweredOutput, InferInput, RequestedOutput } from "../service/index.ts";
import { isDatatype, type ParameterValue, quoteName, type RegionPlace } from "../tensor/index.ts";
import type { InferParametersMessage, InferRequestMessage, InferResponseMessage } from "./messages.ts";
import { decodeClasses, decodeParameters, decodePlace, inWords } from "./parameters.ts";
import { hasContents, tensorDataFromContents } from "./typed-contents.ts";

/** A ModelInfer request in the server's own words. Its tensors are not yet checked against the service's. */
export interface InferRequest {
  readonly service: string;
  /** Empty for the licensed version. */
  readonly version: string;
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
}

/**
 * Raw data stays a view of the received message; its alignment is whatever the message made it.
 * @throws REQUEST_MALFORMED, REQUEST_TOO_LARGE, NOT_IMPLEMENTED
 */
export function decodeInferRequest(message: InferRequestMessage): InferRequest {
  if (message.malformed !== undefined) throw message.malformed;
  const outputs = message.outputs.map(({ name, parameters }) => {
    const whose = { kind: "output", name } as const;
    return { name, classes: decodeClasses(whose, parameters), place: decodePlace(whose, parameters) };
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

function decodeInputs({ inputs, raw_input_contents: raw }: InferRequestMessage): InferInput[] {
  const places = inputs.map(({ name, parameters }) => decodePlace({ kind: "input", name }, parameters));
  if (raw.length > 0) {
    const typed = inputs.find((input) => hasContents(input.contents));
    if (typed !== undefined) {
      throw malformed(
        `${inputInWords(typed.name)}: contents field must not be specified when using raw_input_contents`,
      );
    }
    const inMessage = places.filter((place) => place === null).length;
    if (raw.length !== inMessage) {
      throw malformed(`raw_input_contents: expected one entry for each of ${inMessage} inputs, found ${raw.length}`);
    }
  }
  let nextRaw = 0;
  return inputs.map((input, index) => {
    const { name, datatype } = input;
    if (!isDatatype(datatype)) {
      throw malformed(`${inputInWords(name)}: expected a datatype of the protocol, found ${quoteName(datatype)}`);
    }
    // A size beyond 2^53 loses its last digits here and is then refused as no safe integer.
    const shape = input.shape.map(Number);
    const place = places[index]!;
    if (place !== null) {
      if (hasContents(input.contents))
        throw malformed(`${inputInWords(name)}: expected no contents beside shared memory`);
      return { name, datatype, shape, data: new Uint8Array(0), place };
    }
    const data =
      raw.length > 0 ? raw[nextRaw++]! : tensorDataFromContents(inputInWords(name), datatype, input.contents);
    return { name, datatype, shape, data, place };
  });
}

function inputInWords(name: string): string {
  return inWords({ kind: "input", name });
}

/**
 * The response, with raw contents at the same index for each output, since clients read raw_output_contents[i] without
 * looking whether it is there. Those of an output in shared memory are empty, and its parameters say where it is.
 */
export function encodeInferResponse(
  request: Pick<InferRequest, "service" | "id">,
  version: string,
  outputs: readonly AnsweredOutput[],
): InferResponseMessage {
  return {
    model_name: request.service,
    model_version: version,
    id: request.id,
    parameters: {},
    outputs: outputs.map(({ name, datatype, shape, place }) => ({
      name,
      datatype,
      shape: [...shape],
      ...(place === null ? {} : { parameters: encodePlace(place) }),
    })),
    raw_output_contents: outputs.map(({ data }) => data),
  };
}

function encodePlace({ region, offset, byteSize }: RegionPlace): InferParametersMessage {
  return {
    shared_memory_region: { string_param: region },
    shared_memory_byte_size: { int64_param: byteSize },
    shared_memory_offset: { int64_param: offset },
  };
}

function malformed(message: string): SignetError {
  return new SignetError("REQUEST_MALFORMED", message);
}
