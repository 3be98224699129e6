import { createHash } from "node:crypto";
import type { ProbeOutput, ProbeRun, ProbeStatus, ProbeText } from "../../plugin/index.ts";
import {
  countBytesElements,
  type Datatype,
  datatypeFromOnnx,
  datatypes,
  elementCount,
  type TensorSpec,
} from "../../tensor/index.ts";

/** What is wrong with an error text, as clauses; none when it kept to its buffer and says something. */
export function textProblems(error: ProbeText, mustSpeak: boolean): string[] {
  const problems: string[] = [];
  if (error.isOverrun) problems.push("wrote past error_capacity");
  if (mustSpeak && !error.isTerminated) problems.push("left the error text without a NUL within error_capacity");
  else if (mustSpeak && error.text === "") problems.push("gave no reason in the error text");
  if (error.isTerminated && !error.isUtf8) problems.push("wrote an error text that is not UTF-8");
  return problems;
}

export function failureText({ status, error }: ProbeStatus): string {
  return `status ${status}: ${error.text.slice(0, 300) || "no reason given"}`;
}

/** What a successful run did against the contract. */
export function runProblems(run: ProbeRun, specs: readonly TensorSpec[]): string[] {
  const problems = textProblems(run.error, false);
  if (run.isInputChanged) problems.push("wrote to its inputs, which are read-only");
  for (const [index, spec] of specs.entries()) {
    problems.push(...outputProblems(run.outputs[index]!, spec).map((problem) => `output ${spec.name}: ${problem}`));
  }
  return problems;
}

/** What a failed run did against the contract. */
export function failedRunProblems(run: ProbeRun): string[] {
  const problems = textProblems(run.error, true);
  if (run.isInputChanged) problems.push("wrote to its inputs, which are read-only");
  if (run.outputs.some((output) => output.place === "owner")) problems.push("failed and left an owner set");
  if (run.outputs.some((output) => output.isOverrun)) problems.push("failed and wrote past an output buffer");
  return problems;
}

function outputProblems(output: ProbeOutput, spec: TensorSpec): string[] {
  const problems: string[] = [];
  if (output.isOverrun) problems.push("wrote past the caller's buffer");
  const found = datatypeFromOnnx(output.dtype);
  if (found !== spec.datatype) {
    problems.push(`described as ${spec.datatype}, came as ${found ?? `datatype number ${output.dtype}`}`);
  }
  if (!fits(output, spec)) {
    problems.push(`described as [${spec.shape}], came with rank ${output.rank} and shape [${output.shape}]`);
    return problems;
  }
  const expected = expectedBytes(output, spec.datatype);
  if (expected !== null && expected !== output.bytes) {
    problems.push(`shape [${output.shape}] takes ${expected} bytes, nbytes is ${output.bytes}`);
  }
  if (output.place === "elsewhere") problems.push("lies neither in the caller's buffer nor in memory with an owner");
  else if (output.data === null) problems.push(`lends ${output.bytes} bytes that cannot be there`);
  else if (spec.datatype === "BYTES") problems.push(...elementProblems(output.data, elementCount(output.shape)));
  return problems;
}

function fits(output: ProbeOutput, spec: TensorSpec): boolean {
  return (
    output.rank === spec.shape.length &&
    spec.shape.every((size, axis) => output.shape[axis]! >= 0 && (size === -1 || size === output.shape[axis]))
  );
}

function expectedBytes(output: ProbeOutput, datatype: Datatype): number | null {
  const size = datatypes[datatype].bytes;
  return size === null ? null : elementCount(output.shape) * size;
}

function elementProblems(data: Buffer, expected: number): string[] {
  try {
    const found = countBytesElements(data);
    return found === expected ? [] : [`its shape has ${expected} elements, its bytes hold ${found}`];
  } catch (error) {
    return [(error as Error).message];
  }
}

/** One text for all outputs of a run. */
export function digestOf(run: ProbeRun): string {
  const hash = createHash("sha256").update(String(run.status));
  for (const { shape, data } of run.outputs) hash.update(`[${shape}]`).update(data ?? "");
  return hash.digest("hex");
}
