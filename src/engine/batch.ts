import { SignetError } from "../errors.ts";
import { canShareBatch, splitBatch, type Tensor } from "../tensor/index.ts";

/** How far requests of a service may run together. */
export interface BatchLimits {
  /** Items of all requests of a batch; one request alone has no more either. */
  readonly maxSize: number;
  /** At these numbers of items a batch does not wait for more. */
  readonly preferredSizes: readonly number[];
  /** How long a request may be kept for others to come, ms; 0 runs at once what waits. */
  readonly maxQueueDelayMs: number;
}

/** A request as far as its place in a batch depends on it. */
export interface Batchable {
  readonly inputs: readonly Tensor[];
  /** Bytes that its inputs take in a slot. */
  readonly bytes: number;
  /** Until when it may be kept for others, on the clock of performance.now(). */
  readonly keepUntilMs: number;
  /** True where it must not run together with others. */
  readonly isAlone: boolean;
}

export interface Batch<Request> {
  /** In order of their turn; empty where nothing waits. */
  readonly requests: readonly Request[];
  /** When it is to run: 0 for now, or when nothing more has come until then. */
  readonly dueMs: number;
}

/** Requests of many different shapes that wait are not all compared each time that some run. */
const MAX_COMPARED = 1024;

/**
 * What runs next, all in one: the first that waits, and with it those behind that are like it and still fit. Who does
 * not fit is passed over and loses nothing, because the first of those is the first of the next batch.
 *
 * @param waiting in order of their turn
 * @param maxBytes for the inputs of several requests
 */
export function chooseBatch<Request extends Batchable>(
  waiting: Iterable<Request>,
  { maxSize, preferredSizes }: BatchLimits,
  maxBytes: number,
): Batch<Request> {
  const requests: Request[] = [];
  let size = 0;
  let bytes = 0;
  let preferred = 0;
  let dueMs = Number.POSITIVE_INFINITY;
  let compared = 0;
  for (const request of waiting) {
    const first = requests[0] ?? request;
    const items = sizeOf(request);
    if (request !== first) {
      if (++compared > MAX_COMPARED) break;
      if (request.isAlone || size + items > maxSize || bytes + request.bytes > maxBytes) continue;
      if (!canShareBatch(first.inputs, request.inputs)) continue;
    }
    requests.push(request);
    size += items;
    bytes += request.bytes;
    dueMs = Math.min(dueMs, request.keepUntilMs);
    if (preferredSizes.includes(size)) preferred = requests.length;
    if (size >= maxSize || request.isAlone) return { requests, dueMs: 0 };
  }
  return preferred > 0 ? { requests: requests.slice(0, preferred), dueMs: 0 } : { requests, dueMs };
}

/**
 * The outputs of each request of a batch, as views of those of all.
 * @throws PLUGIN_FAILED where an output does not have as many items as the inputs
 */
export function splitOutputs(
  service: string,
  outputs: readonly Tensor[],
  requests: readonly { readonly inputs: readonly Tensor[] }[],
): Tensor[][] {
  const sizes = requests.map(sizeOf);
  const size = sizes.reduce((sum, each) => sum + each, 0);
  for (const { name, shape } of outputs) {
    if (shape[0] === size) continue;
    const message = `${service}: output ${name}: expected ${size} items, as many as went in, found ${shape[0]}`;
    throw new SignetError("PLUGIN_FAILED", message);
  }
  if (requests.length === 1) return [[...outputs]];
  const parts = outputs.map((output) => splitBatch(output, sizes));
  return requests.map((_, request) => parts.map((part) => part[request]!));
}

function sizeOf({ inputs }: { readonly inputs: readonly Tensor[] }): number {
  return inputs[0]!.shape[0]!;
}
