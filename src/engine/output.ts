import { SignetError } from "../errors.ts";
import type { RunReply } from "../plugin/index.ts";
import {
  countBytesElements,
  datatypeFromOnnx,
  datatypes,
  elementCount,
  type Tensor,
  type TensorSpec,
} from "../tensor/index.ts";

/**
 * Turns a service host's answer into tensors. The host has run foreign code and may have been taken over, so every
 * number is checked before it is used.
 * @param reply null where it says nothing that could be
 * @param mayLend whether bytes may stay where they are, in the slot, as long as their meaning does not depend on them
 * @throws PLUGIN_FAILED, REQUEST_MALFORMED, OUTPUT_TOO_LARGE, CANCELLED for what the plugin said;
 *   SERVICE_PROTOCOL for what cannot be
 */
export function tensorsFromReply(
  service: string,
  reply: RunReply | null,
  specs: readonly TensorSpec[],
  slot: Buffer,
  mayLend: boolean,
): Tensor[] {
  if (reply?.ok === false) throw failure(service, reply);
  const nonsense = (what: string) => new SignetError("SERVICE_PROTOCOL", `${service}: ${what}`);
  if (reply === null || !(Number.isFinite(reply.runUs) && reply.runUs >= 0)) {
    throw nonsense("sent an answer of unknown shape");
  }
  return specs.map((spec, index) => {
    const { dtype, shape, offset, bytes } = reply.outputs[index]!;
    if (datatypeFromOnnx(dtype) !== spec.datatype) {
      throw nonsense(`output ${spec.name}: expected ${spec.datatype}, found datatype number ${dtype}`);
    }
    if (!fits(shape, spec.shape)) {
      throw nonsense(`output ${spec.name}: expected shape [${spec.shape}], found [${shape}]`);
    }
    const inside = Number.isSafeInteger(offset) && Number.isSafeInteger(bytes) && offset >= 0 && bytes >= 0;
    if (!inside || offset + bytes > slot.byteLength) throw nonsense(`output ${spec.name} lies outside its slot`);
    const size = datatypes[spec.datatype].bytes;
    if (size !== null && elementCount(shape) * size !== bytes) {
      throw nonsense(`output ${spec.name}: shape [${shape}] does not take ${bytes} bytes`);
    }
    // What is read here is read only as a copy, because the host could still write to it.
    const isLent = mayLend && size !== null;
    const place = slot.subarray(offset, offset + bytes);
    const data = isLent ? place : new Uint8Array(place);
    if (size === null && countElements(data) !== elementCount(shape)) {
      throw nonsense(`output ${spec.name}: its bytes are not ${elementCount(shape)} elements`);
    }
    return { name: spec.name, datatype: spec.datatype, shape, data };
  });
}

/** NaN for bytes that are no elements at all. */
function countElements(data: Uint8Array): number {
  try {
    return countBytesElements(data);
  } catch {
    return Number.NaN;
  }
}

function fits(shape: readonly number[], spec: readonly number[]): boolean {
  return (
    shape.length === spec.length &&
    shape.every((size, axis) => Number.isSafeInteger(size) && size >= 0 && (spec[axis] === -1 || spec[axis] === size))
  );
}

const CANCELLED = 1;
const INVALID_ARGUMENT = 3;
const DEADLINE_EXCEEDED = 4;

function failure(service: string, reply: Extract<RunReply, { ok: false }>): SignetError {
  const message = `${service}: ${reply.message}`;
  if (reply.reason === "too-large") return new SignetError("OUTPUT_TOO_LARGE", message);
  // It is only skipped where it was asked to stop, and has been answered.
  if (reply.reason !== "plugin") return new SignetError("SERVICE_PROTOCOL", message);
  switch (reply.status) {
    case CANCELLED:
      return new SignetError("CANCELLED", message);
    case INVALID_ARGUMENT:
      return new SignetError("REQUEST_MALFORMED", message);
    case DEADLINE_EXCEEDED:
      return new SignetError("DEADLINE_EXCEEDED", message);
    default:
      return new SignetError("PLUGIN_FAILED", message);
  }
}
