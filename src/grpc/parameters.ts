import { SignetError } from "../errors.ts";
import {
  type CallParameters,
  type ParameterValue,
  quoteName,
  type RegionPlace,
  readCallParameters,
  readClasses,
  readPlace,
} from "../tensor/index.ts";
import type { InferParameterMessage, InferParametersMessage } from "./messages.ts";

/** What has no parameters has this object, so that nothing is made for it. */
export const noParameters: InferParametersMessage = Object.freeze({});
const plainCall: CallParameters = Object.freeze(readCallParameters([]));

/** @throws REQUEST_MALFORMED, NOT_IMPLEMENTED */
export function decodeParameters(message: InferParametersMessage): CallParameters {
  if (message === noParameters) return plainCall;
  return readCallParameters(Object.entries(message).map(([name, parameter]) => [name, readValue(name, parameter)]));
}

/** An input or an output, for messages about it. */
export interface Whose {
  readonly kind: "input" | "output";
  readonly name: string;
}

/** Where its data lies in shared memory; null where it does not. @throws REQUEST_MALFORMED */
export function decodePlace(whose: Whose, parameters: InferParametersMessage = noParameters): RegionPlace | null {
  if (parameters === noParameters) return null;
  const own = Object.entries(parameters).filter(([name]) => name.startsWith("shared_memory_"));
  return readPlace(
    inWords(whose),
    own.map(([name, parameter]) => [name, readValue(name, parameter)]),
  );
}

/** How many classes of an output are wanted; 0 for the output itself. @throws REQUEST_MALFORMED */
export function decodeClasses(whose: Whose, parameters: InferParametersMessage = noParameters): number {
  const wanted = parameters.classification;
  return wanted === undefined ? 0 : readClasses(inWords(whose), readValue("classification", wanted));
}

export function inWords({ kind, name }: Whose): string {
  return `${kind} ${quoteName(name)}`;
}

function readValue(name: string, parameter: InferParameterMessage): ParameterValue {
  if (parameter.bool_param !== undefined) return parameter.bool_param;
  if (parameter.string_param !== undefined) return parameter.string_param;
  if (parameter.double_param !== undefined) return parameter.double_param;
  if (parameter.int64_param !== undefined) return BigInt(parameter.int64_param);
  if (parameter.uint64_param !== undefined) return BigInt(parameter.uint64_param);
  throw new SignetError("REQUEST_MALFORMED", `parameter ${quoteName(name)}: expected a value, found none`);
}
