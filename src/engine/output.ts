import { SignetError } from "../errors.ts";
import type { RunReply } from "../plugin/index.ts";
import { datatypeFromOnnx, datatypes, elementCount, type Tensor, type TensorSpec } from "../tensor/index.ts";

/**
 * Turns a service host's answer into tensors, with copies of their bytes. The host has run foreign code and
 * may have been taken over, so every number is checked before it is used.
 * @throws PLUGIN_FAILED, REQUEST_MALFORMED, OUTPUT_TOO_LARGE, CANCELLED for what the plugin said;
 *   SERVICE_PROTOCOL for what cannot be
 */
export function tensorsFromReply(
  service: string,
  reply: RunReply,
  specs: readonly TensorSpec[],
  slot: Uint8Array,
): Tensor[] {
  if (reply?.ok === false) throw failure(service, reply);
  const nonsense = (what: string) => new SignetError("SERVICE_PROTOCOL", `${service}: ${what}`);
  if (reply?.ok !== true || !Array.isArray(reply.outputs) || typeof reply.runUs !== "number") {
    throw nonsense("sent an answer of unknown shape");
  }
  if (reply.outputs.length !== specs.length) {
    throw nonsense(`expected ${specs.length} outputs, found ${reply.outputs.length}`);
  }
  return specs.map((spec, index) => {
    const { dtype, shape, offset, bytes } = reply.outputs[index]!;
    if (datatypeFromOnnx(dtype) !== spec.datatype) {
      throw nonsense(`output ${spec.name}: expected ${spec.datatype}, found datatype number ${dtype}`);
    }
    if (!Array.isArray(shape) || !fits(shape, spec.shape)) {
      throw nonsense(`output ${spec.name}: expected shape [${spec.shape}], found [${shape}]`);
    }
    const inside = Number.isSafeInteger(offset) && Number.isSafeInteger(bytes) && offset >= 0 && bytes >= 0;
    if (!inside || offset + bytes > slot.byteLength) throw nonsense(`output ${spec.name} lies outside its slot`);
    const size = datatypes[spec.datatype].bytes;
    if (size !== null && elementCount(shape) * size !== bytes) {
      throw nonsense(`output ${spec.name}: shape [${shape}] does not take ${bytes} bytes`);
    }
    // Copied, because the slot belongs to the next job as soon as this one is answered.
    return { name: spec.name, datatype: spec.datatype, shape, data: slot.slice(offset, offset + bytes) };
  });
}

function fits(shape: readonly unknown[], spec: readonly number[]): shape is number[] {
  return (
    shape.length === spec.length &&
    shape.every(
      (size, axis) => Number.isSafeInteger(size) && (size as number) >= 0 && (spec[axis] === -1 || spec[axis] === size),
    )
  );
}

const CANCELLED = 1;
const INVALID_ARGUMENT = 3;
const DEADLINE_EXCEEDED = 4;

function failure(service: string, reply: Extract<RunReply, { ok: false }>): SignetError {
  const message = `${service}: ${String(reply.message).slice(0, 2000)}`;
  if (reply.reason === "too-large") return new SignetError("OUTPUT_TOO_LARGE", message);
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
