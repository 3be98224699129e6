import { z } from "zod";
import { SignetError } from "../errors.ts";
import { type ParameterValue, quoteName, type RegionPlace, readClasses, readPlace } from "../tensor/index.ts";

/** Parameters of a request, an input or an output, as JSON has them: single values by name. */
export const parametersSchema = z
  .custom<Readonly<Record<string, unknown>>>(
    (value) => typeof value === "object" && value !== null && !Array.isArray(value),
    "expected an object of parameters",
  )
  .optional();

/** By name: never the keys of an object, which a client could choose. */
export type Parameters = ReadonlyMap<string, ParameterValue>;

/** @throws REQUEST_MALFORMED */
export function decodeParameters(where: string, given: Readonly<Record<string, unknown>> | undefined): Parameters {
  return new Map(Object.entries(given ?? {}).map(([name, value]) => [name, readValue(where, name, value)]));
}

/** Where an input's or output's data lies in shared memory; null where it does not. @throws REQUEST_MALFORMED */
export function decodePlace(where: string, parameters: Parameters): RegionPlace | null {
  return readPlace(where, parameters);
}

/** How many classes of an output are wanted; 0 for the output itself. @throws REQUEST_MALFORMED */
export function decodeClasses(where: string, parameters: Parameters): number {
  return readClasses(where, parameters.get("classification"));
}

/** A flag of the binary-data extension; undefined where the client leaves it out. @throws REQUEST_MALFORMED */
export function decodeFlag(where: string, name: string, parameters: Parameters): boolean | undefined {
  const value = parameters.get(name);
  if (value === undefined || typeof value === "boolean") return value;
  throw malformed(`${where}: parameter ${name}: expected true or false`);
}

/** How much binary data belongs to an input, bytes; null for none. @throws REQUEST_MALFORMED */
export function decodeBinarySize(where: string, parameters: Parameters): number | null {
  const value = parameters.get("binary_data_size");
  if (value === undefined) return null;
  if (typeof value === "bigint" && value >= 0n) return Number(value);
  throw malformed(`${where}: parameter binary_data_size: expected an integer of 0 or more`);
}

function readValue(where: string, name: string, value: unknown): ParameterValue {
  if (typeof value === "number") return Number.isSafeInteger(value) ? BigInt(value) : value;
  if (typeof value === "string" || typeof value === "boolean" || typeof value === "bigint") return value;
  throw malformed(`${where}: parameter ${quoteName(name)}: expected a text, a number, true or false`);
}

function malformed(message: string): SignetError {
  return new SignetError("REQUEST_MALFORMED", message);
}
