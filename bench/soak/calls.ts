import type { Random } from "../../test/helpers/seeded-random.ts";
import type { Method } from "./connection.ts";

/**
 * Who calls. A patient caller waits for every answer, so that each of its calls can be found in the run log; a hasty
 * one gives up, disappears, and sends what no server takes.
 */
export type Who = "patient" | "hasty" | "viewer" | "limited" | "stranger";

export interface Call {
  readonly who: Who;
  /** A licensed service, or `-` for what is no job. */
  readonly service: string;
  readonly method: Method;
  readonly request: object;
  readonly timeoutMs: number;
  /** When the client cancels, ms. */
  readonly cancelAfterMs?: number;
  /** When the client disappears, ms. */
  readonly vanishAfterMs?: number;
  /** The codes it may end with instead of an answer, besides those that any call may. */
  readonly refusals: readonly string[];
  /** Whether an answer is the right one, to the last byte; where it is missing no answer is right. */
  readonly isRight?: (response: object) => boolean;
}

/** An input of the model, and what the model makes of it. */
export interface Reference {
  readonly input: Buffer;
  readonly output: Buffer;
}

/** Nobody should need it: whoever runs into it found a call that hangs. */
const PATIENCE_MS = 300_000;
const LARGEST = 4 << 20;
export const MAX_MESSAGE_MIB = 5;
const MODEL_SHAPE = [1, 3, 48, 96];
/** What a crash, a full queue and a stop look like to whoever calls a service. */
export const anyService = ["SERVICE_CRASHED", "SERVICE_UNRESPONSIVE", "QUEUE_FULL", "SHUTTING_DOWN"];
const pool = Buffer.alloc(2 * LARGEST);

/** Fills what payloads are cut from. */
export function fillPool(random: Random): void {
  for (let at = 0; at < pool.length; at += 4) pool.writeUInt32LE(random.below(2 ** 32), at);
}

export function modelInput(random: Random): Buffer {
  const values = Float32Array.from({ length: MODEL_SHAPE.reduce((a, b) => a * b) }, () => random.between(-1, 1));
  return Buffer.from(values.buffer);
}

/** A call of a patient client: most of the load. */
export function drawPatient(random: Random, references: readonly Reference[]): Call {
  const turn = random.below(100);
  if (turn < 50) return echo(random, "identity", random.magnitude(64, LARGEST));
  if (turn < 62) return recognize(random, references);
  if (turn < 70) return echo(random, "metered", random.magnitude(64, 4096));
  if (turn < 78) return misshapen(random);
  if (turn < 84) return describe(random);
  return misbehave(random);
}

/** A call of somebody who gives up, goes away, or never had a right to call. */
export function drawHasty(random: Random, references: readonly Reference[]): Call {
  const turn = random.below(100);
  if (turn < 60) return impatient(random, references);
  if (turn < 70) return { ...echo(random, "identity", 64), who: "limited", refusals: ["RATE_LIMITED"] };
  if (turn < 78) return { ...refusedTo("stranger", random, ["UNAUTHENTICATED"]) };
  if (turn < 86) return { ...refusedTo("viewer", random, ["PERMISSION_DENIED"]) };
  if (turn < 92) return garbage(random);
  return tooLarge(random);
}

function infer(service: string, inputs: readonly object[], raw: readonly Uint8Array[]) {
  return { service, method: "ModelInfer" as const, request: { model_name: service, inputs, raw_input_contents: raw } };
}

function echo(random: Random, service: "identity" | "metered", bytes: number): Call {
  const from = random.below(pool.length - bytes);
  const data = Buffer.from(pool.subarray(from, from + bytes));
  data.writeUInt32LE(random.below(2 ** 32), 0);
  return {
    who: "patient",
    ...infer(service, [{ name: "input", datatype: "UINT8", shape: [bytes] }], [data]),
    timeoutMs: PATIENCE_MS,
    refusals: service === "metered" ? ["LICENSE_RUNS_EXHAUSTED"] : [],
    isRight: (response) => data.equals(rawOutput(response)),
  };
}

function recognize(random: Random, references: readonly Reference[]): Call {
  const { input, output } = random.pick(references);
  return {
    who: "patient",
    ...recognition(input),
    timeoutMs: PATIENCE_MS,
    refusals: [],
    isRight: (response) => output.equals(rawOutput(response)),
  };
}

export function recognition(input: Buffer) {
  return infer("direction", [{ name: "x", datatype: "FP32", shape: MODEL_SHAPE }], [input]);
}

/** Tensors that the service does not take. */
function misshapen(random: Random): Call {
  const wrong = random.pick([
    { name: "input", datatype: "UINT8", shape: [65] },
    { name: "input", datatype: "FP32", shape: [16] },
    { name: "inputs", datatype: "UINT8", shape: [64] },
    { name: "input", datatype: "UINT8", shape: [8, 8] },
  ]);
  return {
    who: "patient",
    ...infer("identity", [wrong], [Buffer.alloc(64)]),
    timeoutMs: PATIENCE_MS,
    refusals: ["REQUEST_MALFORMED"],
  };
}

/** What is no job. */
function describe(random: Random): Call {
  const name = random.pick(["identity", "metered", "direction", "faulty", "nobody"]);
  const method = random.pick(["ModelMetadata", "ModelConfig", "ModelReady", "ServerMetadata"] as const);
  const isKnown = name !== "nobody" || method === "ServerMetadata";
  return {
    ...{ who: "patient", service: "-", method, request: { name }, timeoutMs: PATIENCE_MS },
    refusals: ["SERVICE_NOT_FOUND"],
    ...(isKnown ? { isRight: () => true } : {}),
  };
}

/** The ways of the faulty plugin that its process survives, and what the call then ends with. */
const harmless: readonly [mode: string, amount: number, refusal: string | null][] = [
  ["ok", 1, null],
  ["ok", 2, null],
  ["wait", 30, null],
  ["wait", 700, null], // so that an orderly stop finds something to wait for
  ["sleep", 30, null],
  ["leak", 20, null],
  ["fail", 1, "PLUGIN_FAILED"],
  ["shrink", 1, "PLUGIN_FAILED"],
  ["lie-shape", 1, "PLUGIN_FAILED"],
];
/** Those that it does not. */
const deadly = [
  ...["segv", "abort", "throw", "fpe", "stack", "exit", "loop", "lie-size", "lie-owner"],
  ...["say-noise", "say-null", "say-nested", "say-odd"],
];
/** One caller's mode can be the end of everybody's job. */
const fromFaulty = [
  ...["PLUGIN_FAILED", "JOB_TIME_EXCEEDED", "SERVICE_OUT_OF_MEMORY", "SERVICE_PROTOCOL", "OUTPUT_TOO_LARGE"],
  ...["SERVICE_NOT_READY", "SERVICE_START_FAILED"],
];

/** A call that ends the process of its service. */
export function drawCrash(random: Random): Call {
  return { ...faulty(random.pick(["segv", "abort", "throw", "fpe", "stack", "exit"]), 1), refusals: fromFaulty };
}

function misbehave(random: Random): Call {
  // Rarely: a process that ends again and again is started again ever later.
  const [mode, amount, refusal] = random.chance(0.08)
    ? ([random.pick(deadly), 1, "SERVICE_CRASHED"] as const)
    : random.pick(harmless);
  return {
    ...faulty(mode, amount),
    refusals: fromFaulty,
    // What a plugin says to the gateway in a nonsense of its own, it may say and then answer its job all the same.
    ...(refusal === null || mode.startsWith("say-") ? { isRight: (response) => resultOf(response) === amount } : {}),
  };
}

function faulty(mode: string, amount: number): Omit<Call, "refusals"> {
  const text = Buffer.from(mode);
  const name = Buffer.concat([Buffer.alloc(4), text]);
  name.writeUInt32LE(text.length, 0);
  const inputs = [
    { name: "mode", datatype: "BYTES", shape: [1] },
    { name: "amount", datatype: "INT64", shape: [1] },
  ];
  const raw = [name, Buffer.from(new BigInt64Array([BigInt(amount)]).buffer)];
  return { who: "patient", ...infer("faulty", inputs, raw), timeoutMs: PATIENCE_MS };
}

function impatient(random: Random, references: readonly Reference[]): Call {
  const waiting = (mode: string, amount: number): Call => ({
    ...faulty(mode, amount),
    refusals: fromFaulty,
    isRight: (response) => resultOf(response) === amount,
  });
  const call = random.pick([
    () => echo(random, "identity", random.magnitude(64, LARGEST)),
    () => recognize(random, references),
    () => waiting("wait", 400),
    // What nobody can stop but by ending its process, others' jobs in it and all.
    () => waiting(random.chance(0.05) ? "loop" : "sleep", 50),
  ])();
  const soonMs = random.magnitude(1, 300);
  const how = random.below(5);
  if (how < 2) return { ...call, who: "hasty", timeoutMs: soonMs };
  if (how < 4) return { ...call, who: "hasty", cancelAfterMs: soonMs };
  return { ...call, who: "hasty", vanishAfterMs: soonMs };
}

function refusedTo(who: Who, random: Random, refusals: readonly string[]): Call {
  const { isRight: _, ...call } = echo(random, "identity", random.magnitude(64, LARGEST));
  return { ...call, who, refusals };
}

function garbage(random: Random): Call {
  const length = random.magnitude(1, 4096);
  const from = random.below(pool.length - length);
  const request = Buffer.from(pool.subarray(from, from + length));
  const refusals = ["REQUEST_MALFORMED", "SERVICE_NOT_FOUND"];
  return { who: "hasty", service: "-", method: "ModelInfer", request, timeoutMs: PATIENCE_MS, refusals };
}

function tooLarge(random: Random): Call {
  const { isRight: _, ...call } = echo(random, "identity", (MAX_MESSAGE_MIB << 20) + 1 + random.below(1 << 20));
  return { ...call, who: "hasty", refusals: ["REQUEST_TOO_LARGE"] };
}

export function rawOutput(response: object): Buffer {
  return Buffer.from(
    (response as { readonly raw_output_contents: readonly Uint8Array[] }).raw_output_contents[0] ?? [],
  );
}

function resultOf(response: object): number {
  return Number(rawOutput(response).readBigInt64LE(0));
}
