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

/** @throws REQUEST_MALFORMED, NOT_IMPLEMENTED */
export function decodeParameters(message: InferParametersMessage): CallParameters {
  return readCallParameters(Object.entries(message).map(([name, parameter]) => [name, readValue(name, parameter)]));
}

/** Where an input's or output's data lies in shared memory; null where it does not. @throws REQUEST_MALFORMED */
export function decodePlace(where: string, parameters: InferParametersMessage | undefined): RegionPlace | null {
  const own = Object.entries(parameters ?? {}).filter(([name]) => name.startsWith("shared_memory_"));
  return readPlace(
    where,
    own.map(([name, parameter]) => [name, readValue(name, parameter)]),
  );
}

/** How many classes of an output are wanted; 0 for the output itself. @throws REQUEST_MALFORMED */
export function decodeClasses(where: string, parameters: InferParametersMessage | undefined): number {
  const wanted = parameters?.classification;
  return readClasses(where, wanted === undefined ? undefined : readValue("classification", wanted));
}

function readValue(name: string, parameter: InferParameterMessage): ParameterValue {
  if (parameter.bool_param !== undefined) return parameter.bool_param;
  if (parameter.string_param !== undefined) return parameter.string_param;
  if (parameter.double_param !== undefined) return parameter.double_param;
  if (parameter.int64_param !== undefined) return BigInt(parameter.int64_param);
  if (parameter.uint64_param !== undefined) return BigInt(parameter.uint64_param);
  throw new SignetError("REQUEST_MALFORMED", `parameter ${quoteName(name)}: expected a value, found none`);
}
