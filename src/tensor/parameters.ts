import { SignetError } from "../errors.ts";
import { quoteName } from "./quote-name.ts";

/** 64-bit integers are bigint, doubles are number. */
export type ParameterValue = string | boolean | bigint | number;

/** Bytes inside a region of shared memory. */
export interface RegionPlace {
  readonly region: string;
  /** From the region's beginning. */
  readonly offset: number;
  readonly byteSize: number;
}

/** A request's parameters: what the protocol defines, and what it leaves to the service. */
export interface CallParameters {
  /** 0 is normal, 1 most urgent, larger less urgent. */
  readonly priority: number;
  /** How long the request may wait in the queue; null where the client does not say. */
  readonly queueTimeoutMs: number | null;
  readonly parameters: ReadonlyMap<string, ParameterValue>;
}

const RESERVED_PREFIX = "triton_";
const MAX_PRIORITY = 2 ** 31 - 1;
const MAX_TIMEOUT_MS = 2 ** 31 - 1; // the most a timer can wait

/**
 * Splits a request's parameters into what the protocol defines and what the service may define.
 * @throws REQUEST_MALFORMED for a wrong kind of value or an unknown reserved name, NOT_IMPLEMENTED for sequences
 */
export function readCallParameters(given: Iterable<readonly [string, ParameterValue]>): CallParameters {
  let priority = 0;
  let queueTimeoutMs: number | null = null;
  const parameters = new Map<string, ParameterValue>(); // a client's own names: never the keys of an object
  for (const [name, value] of given) {
    switch (name) {
      case "priority":
        priority = Math.min(natural(name, value), MAX_PRIORITY);
        break;
      case "timeout": {
        const microseconds = natural(name, value);
        queueTimeoutMs = microseconds === 0 ? null : Math.min(Math.ceil(microseconds / 1000), MAX_TIMEOUT_MS);
        break;
      }
      case "sequence_id":
      case "sequence_start":
      case "sequence_end":
        refuseSequence(name, value);
        break;
      case "triton_enable_empty_final_response": // some clients set it on every request; it concerns streams only
        if (typeof value !== "boolean")
          throw malformed(`parameter ${name}: expected a bool, found another kind of value`);
        break;
      default:
        if (name.startsWith(RESERVED_PREFIX)) {
          throw malformed(`parameter ${quoteName(name)}: expected no other name beginning with ${RESERVED_PREFIX}`);
        }
        parameters.set(name, value);
    }
  }
  return { priority, queueTimeoutMs, parameters };
}

/** Where an input's or output's data lies in shared memory; null where it does not. @throws REQUEST_MALFORMED */
export function readPlace(where: string, parameters: Iterable<readonly [string, ParameterValue]>): RegionPlace | null {
  let region: string | undefined;
  let byteSize: number | undefined;
  let offset = 0;
  for (const [name, value] of parameters) {
    if (!name.startsWith("shared_memory_")) continue;
    if (name === "shared_memory_region" && typeof value === "string") region = value;
    else if (name === "shared_memory_byte_size") byteSize = natural(name, value);
    else if (name === "shared_memory_offset") offset = natural(name, value);
    else throw malformed(`${where}: expected a parameter of shared memory, found ${quoteName(name)}`);
  }
  if (region === undefined && byteSize === undefined && offset === 0) return null;
  if (region === undefined || byteSize === undefined) {
    throw malformed(`${where}: expected shared_memory_region and shared_memory_byte_size, found one of them`);
  }
  return { region, offset, byteSize };
}

/** How many classes of an output are wanted; 0 for the output itself. @throws REQUEST_MALFORMED */
export function readClasses(where: string, wanted: ParameterValue | undefined): number {
  if (wanted === undefined) return 0;
  const classes = natural("classification", wanted);
  if (classes === 0) throw malformed(`${where}: parameter classification: expected an integer of 1 or more, found 0`);
  return classes;
}

/** Nothing was asked for where the id is 0 or empty and the flags are false. */
function refuseSequence(name: string, value: ParameterValue): void {
  if (value === false || value === 0n || value === "") return;
  throw new SignetError("NOT_IMPLEMENTED", `parameter ${name}: expected requests that stand alone, found a sequence`);
}

function natural(name: string, value: ParameterValue): number {
  if (typeof value !== "bigint" || value < 0n) throw malformed(`parameter ${name}: expected an integer of 0 or more`);
  return Number(value);
}

function malformed(message: string): SignetError {
  return new SignetError("REQUEST_MALFORMED", message);
}
