import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { ConfiguredWarmUp } from "../config/index.ts";
import type { WarmUpRequest } from "../engine/index.ts";
import { fileError, SignetError } from "../errors.ts";
import type { ServiceConf } from "../license/index.ts";
import {
  type Datatype,
  datatypes,
  elementCount,
  encodeBytesElements,
  quoteName,
  type Tensor,
  type TensorSpec,
  validateInputs,
  verifyBatchSize,
} from "../tensor/index.ts";

type ConfiguredInput = ConfiguredWarmUp["inputs"][string];

/**
 * The requests that an operator has a service warmed up with, as the plugin takes them.
 * @param roomBytes what the inputs of one may have together
 * @throws WARM_UP_FAILED for inputs that are not the service's, FILE_UNREADABLE
 */
export function prepareWarmUp(
  requests: readonly ConfiguredWarmUp[],
  conf: Pick<ServiceConf, "name" | "inputs" | "maxBatchSize">,
  roomBytes: number,
): Promise<WarmUpRequest[]> {
  return Promise.all(requests.map((request) => prepareRequest(request, conf, roomBytes)));
}

async function prepareRequest(
  { name, count, batchSize, inputs: configured }: ConfiguredWarmUp,
  { name: service, inputs: specs, maxBatchSize }: Pick<ServiceConf, "name" | "inputs" | "maxBatchSize">,
  roomBytes: number,
): Promise<WarmUpRequest> {
  try {
    const unknown = Object.keys(configured).find((input) => !specs.some((spec) => spec.name === input));
    if (unknown !== undefined) throw malformed(unknown, `expected one of ${specs.map((spec) => quoteName(spec.name))}`);
    const inputs: Tensor[] = [];
    let leftBytes = roomBytes;
    for (const spec of specs) {
      const input = await createInput(spec, configured[spec.name] ?? { data: "zero" }, batchSize, leftBytes);
      leftBytes -= input.data.byteLength;
      inputs.push(input);
    }
    validateInputs(inputs, specs);
    if (maxBatchSize !== undefined) verifyBatchSize(inputs, maxBatchSize);
    return { name, count, inputs };
  } catch (thrown) {
    const { message } = SignetError.from(thrown);
    throw new SignetError("WARM_UP_FAILED", `${service}: warmup ${quoteName(name)}: ${message}`, { cause: thrown });
  }
}

async function createInput(
  { name, datatype, shape: free }: TensorSpec,
  { shape: given, data }: ConfiguredInput,
  batchSize: number,
  roomBytes: number,
): Promise<Tensor> {
  const shape = given ?? free.map((size, axis) => (axis === 0 && size === -1 ? batchSize : size));
  if (shape.includes(-1)) throw malformed(name, `expected a shape that fits [${free}], found none`);
  const { bytes } = datatypes[datatype];
  // BYTES of nothing have their length.
  const expectedBytes = elementCount(shape) * (bytes ?? 4);
  if (!(expectedBytes <= roomBytes)) throw malformed(name, `expected at most ${roomBytes} bytes, found [${shape}]`);
  const content =
    typeof data === "string" ? fill(datatype, elementCount(shape), data) : await readData(data.file, roomBytes);
  return { name, datatype, shape, data: content };
}

function fill(datatype: Datatype, count: number, how: "zero" | "random"): Uint8Array {
  if (datatype === "BYTES") {
    const words = Array.from({ length: count }, () => Buffer.from(how === "zero" ? "" : randomWord()));
    return encodeBytesElements(words);
  }
  const size = datatypes[datatype].bytes;
  const data = new Uint8Array(count * size);
  if (how === "zero") return data;
  const view = new DataView(data.buffer);
  for (let at = 0; at < data.length; at += size) writeRandom[datatype](view, at);
  return data;
}

const integer = (view: DataView, at: number) => view.setUint8(at, Math.random() * 128); // the lowest byte, little-endian
/** Nothing that many models would choke on: no NaN, no infinity, no index beyond a small table. */
const writeRandom: Record<Exclude<Datatype, "BYTES">, (view: DataView, at: number) => void> = {
  ...{ UINT8: integer, UINT16: integer, UINT32: integer, UINT64: integer },
  ...{ INT8: integer, INT16: integer, INT32: integer, INT64: integer },
  BOOL: (view, at) => view.setUint8(at, Math.random() * 2),
  // Bits of a number from 0 up to what comes before 1.
  FP16: (view, at) => view.setUint16(at, Math.random() * 0x3c00, true),
  BF16: (view, at) => view.setUint16(at, Math.random() * 0x3f80, true),
  FP32: (view, at) => view.setFloat32(at, Math.random(), true),
  FP64: (view, at) => view.setFloat64(at, Math.random(), true),
};

function randomWord(): string {
  return Math.random().toString(36).slice(2, 12);
}

/** No more than could be used: the file may be a device that never ends. */
async function readData(file: string, roomBytes: number): Promise<Uint8Array> {
  try {
    // A pipe does not make the service wait.
    await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    const { size } = await handle.stat();
    if (size > roomBytes) throw new SignetError("REQUEST_TOO_LARGE", `${file}: expected at most ${roomBytes} bytes`);
    const data = new Uint8Array(size);
    const { bytesRead } = await handle.read(data, 0, size, 0);
    return data.subarray(0, bytesRead);
  } catch (error) {
    throw fileError(file, error);
  }
}

function malformed(input: string, words: string): SignetError {
  return new SignetError("REQUEST_MALFORMED", `input ${quoteName(input)}: ${words}`);
}
