import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { ConformanceCase, InferInput, InferRequest, Outcome, Step, Tokens, Wire, WireName } from "./case.ts";

const run = promisify(execFile);

const bytesOfElement: Readonly<Record<string, number>> = {
  ...{ BOOL: 1, INT8: 1, INT16: 2, INT32: 4, INT64: 8, UINT8: 1, UINT16: 2, UINT32: 4, UINT64: 8 },
  ...{ FP16: 2, FP32: 4, FP64: 8 },
};

/** Triton's Python client from PyPI, in one process for all cases. */
export async function pythonWire(
  wire: "Python gRPC" | "Python HTTP",
  python: string,
  server: { readonly address: string; readonly tokens: Tokens; readonly cases: readonly ConformanceCase[] },
): Promise<Wire> {
  const { address, tokens, cases } = server;
  const directory = mkdtempSync(join(tmpdir(), "signet-conformance-"));
  const file = join(directory, "cases.json");
  try {
    writeFileSync(file, JSON.stringify({ address, tokens, cases: cases.map(({ steps }) => steps) }, bytesAsObjects));
    const script = join(import.meta.dirname, "python-wire.py");
    const kind = wire === "Python gRPC" ? "grpc" : "http";
    const { stdout } = await run(python, [script, kind, file], { timeout: 100_000, maxBuffer: 2 ** 26 });
    const outcomes = JSON.parse(stdout, objectsAsBytes) as Outcome[][];
    return { perform: async (tried) => outcomes[cases.indexOf(tried)]! };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Buffers have toJSON, which comes before a replacer. */
function bytesAsObjects(_: string, value: unknown): unknown {
  const isBuffer = typeof value === "object" && value !== null && "type" in value && value.type === "Buffer";
  return isBuffer ? { $bytes: Buffer.from((value as unknown as { data: number[] }).data).toString("base64") } : value;
}

function objectsAsBytes(_: string, value: unknown): unknown {
  const isBytes = typeof value === "object" && value !== null && "$bytes" in value;
  return isBytes ? Buffer.from((value as { $bytes: string }).$bytes, "base64") : value;
}

/** Whether Triton's Python client can say it: it makes tensors from arrays, so that many mistakes cannot be made. */
export function canPython(wire: WireName, { call, request = {}, timeoutMs, fails }: Step): boolean {
  const isGrpc = wire === "Python gRPC";
  if (timeoutMs !== undefined && !isGrpc) return false;
  if (call === "ModelInfer") return canInfer(request as InferRequest);
  if (call === "ModelStreamInfer") {
    return isGrpc && fails === undefined && (request as InferRequest[]).every(canInfer);
  }
  if (call === "RepositoryModelLoad") return !("parameters" in request);
  // The client gives a bool, whatever the status says.
  if (call === "ModelReady") return isGrpc || fails === undefined;
  return true;
}

function canInfer({ inputs = [], raw_input_contents: raw = [], parameters = {} }: InferRequest): boolean {
  const inMessage = inputs.filter(({ parameters: own = {} }) => !("shared_memory_region" in own));
  const isPlain = Object.entries(parameters).every(
    ([name, value]) => Object.keys(value).length === 1 && !name.startsWith("triton_") && !isOdd(name, value),
  );
  return isPlain && raw.length === inMessage.length && inMessage.every((input, index) => isArray(input, raw[index]!));
}

function isOdd(name: string, value: Readonly<Record<string, unknown>>): boolean {
  const isNumber = ["priority", "timeout", "sequence_id"].includes(name);
  return isNumber && !(Number(value.int64_param) >= 0);
}

function isArray({ datatype, shape, contents }: InferInput, raw: Buffer): boolean {
  if (contents !== undefined || shape.some((size) => Number(size) < 0)) return false;
  const count = shape.reduce<number>((product, size) => product * Number(size), 1);
  return datatype === "BYTES" ? elementsIn(raw) === count : bytesOfElement[datatype] === raw.length / (count || 1);
}

/** How many BYTES elements; NaN where they are none. */
function elementsIn(raw: Buffer): number {
  let count = 0;
  let at = 0;
  for (; at + 4 <= raw.length; count++) at += 4 + raw.readUInt32LE(at);
  return at === raw.length ? count : Number.NaN;
}
