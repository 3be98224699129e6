import { SignetError } from "../../errors.ts";
import {
  quoteName,
  validateInputDeclarations,
  validateInputs,
  validateOutputs,
  verifyBatchSize,
} from "../../tensor/index.ts";
import type { InferInput, RequestedOutput } from "../infer-tensors.ts";
import type { Service } from "../inference.ts";
import type { TensorEntry } from "./tensor-file.ts";

const MAX_KEY_LENGTH = 128;
const MAX_LABELS = 16;
const LABEL_NAME = /^[A-Za-z0-9._/-]{1,64}$/;
const MAX_LABEL_LENGTH = 128;
const MAX_REQUEST_ID_LENGTH = 256;
const MAX_PRIORITY = 2 ** 31 - 1;
/** What the store and the wire hold of time without loss. */
const MAX_TIMEOUT_MS = 100 * 365 * 86_400_000;

/** What a client says of a job beside its tensors. */
export interface JobTerms {
  readonly idempotencyKey: string;
  readonly timeoutMs: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly priority: number;
  readonly id: string;
}

/** @throws REQUEST_MALFORMED */
export function verifyTerms({ idempotencyKey, timeoutMs, labels, priority, id }: JobTerms): void {
  if (idempotencyKey.length > MAX_KEY_LENGTH) {
    throw malformed(`idempotency_key: expected at most ${MAX_KEY_LENGTH} characters, found ${idempotencyKey.length}`);
  }
  verifyStorable("idempotency_key", idempotencyKey);
  if (id.length > MAX_REQUEST_ID_LENGTH) {
    throw malformed(`request.id: expected at most ${MAX_REQUEST_ID_LENGTH} characters, found ${id.length}`);
  }
  if (!Number.isSafeInteger(timeoutMs) || timeoutMs < 0 || timeoutMs > MAX_TIMEOUT_MS) {
    throw malformed(`timeout_ms: expected 0 to ${MAX_TIMEOUT_MS}, found ${timeoutMs}`);
  }
  if (!Number.isSafeInteger(priority) || priority < 0 || priority > MAX_PRIORITY) {
    throw malformed(`priority: expected 0 to ${MAX_PRIORITY}, found ${priority}`);
  }
  verifyLabels(labels);
}

/** Labels of a job, or of those that are looked for. @throws REQUEST_MALFORMED */
export function verifyLabels(labels: JobTerms["labels"]): void {
  const names = Object.keys(labels);
  if (names.length > MAX_LABELS) throw malformed(`labels: expected at most ${MAX_LABELS}, found ${names.length}`);
  for (const name of names) {
    if (!LABEL_NAME.test(name)) {
      throw malformed(`labels: expected names of up to 64 letters, digits and ._/-, found ${quoteName(name)}`);
    }
    if (labels[name]!.length > MAX_LABEL_LENGTH) {
      throw malformed(`label ${quoteName(name)}: expected at most ${MAX_LABEL_LENGTH} characters`);
    }
    verifyStorable(`label ${quoteName(name)}`, labels[name]!);
  }
}

/** PostgreSQL takes every character but one. @throws REQUEST_MALFORMED */
export function verifyStorable(where: string, text: string): void {
  if (text.includes("\0")) throw malformed(`${where}: expected text, found a character U+0000 in it`);
}

/**
 * What would fail when the job runs fails now, as far as it can be seen now.
 * @throws REQUEST_MALFORMED, REQUEST_TOO_LARGE
 */
export function verifyTensors(
  { conf, runner }: Service,
  inputs: readonly InferInput[],
  artifacts: readonly TensorEntry[],
  outputs: readonly RequestedOutput[],
): void {
  const placed = [...inputs, ...outputs].find(({ place }) => place !== null);
  if (placed !== undefined) {
    throw malformed(`${quoteName(placed.name)}: expected no shared memory in a job, which outlives the call`);
  }
  const bytes =
    inputs.reduce((sum, { data }) => sum + data.byteLength, 0) + artifacts.reduce((sum, entry) => sum + entry.bytes, 0);
  if (bytes > runner.roomBytes) {
    throw new SignetError("REQUEST_TOO_LARGE", `inputs of ${bytes} bytes, room for ${runner.roomBytes}`);
  }
  if (artifacts.length === 0) validateInputs(inputs, conf.inputs);
  const declared = validateInputDeclarations([...inputs, ...artifacts], conf.inputs);
  if (conf.maxBatchSize !== undefined) verifyBatchSize(declared, conf.maxBatchSize);
  validateOutputs(
    outputs.map(({ name }) => name),
    conf.outputs,
  );
}

function malformed(message: string): SignetError {
  return new SignetError("REQUEST_MALFORMED", message);
}
