import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { onTestFinished } from "vitest";
import {
  type Charge,
  describeService,
  type Job,
  type ServiceEvent,
  ServiceRunner,
  type ServiceRunnerOptions,
} from "../../src/engine/index.ts";
import { SealedFiles } from "../../src/plugin/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";

export interface RunningService {
  readonly runner: ServiceRunner;
  readonly events: ServiceEvent[];
  readonly home: string;
}

/** Starts a service, unless told otherwise, from a plugin that takes no model files; it is stopped when the test ends. */
export async function useService(
  library: string,
  config: Record<string, unknown>,
  { isStarted = true, ...options }: Partial<ServiceRunnerOptions> & { readonly isStarted?: boolean } = {},
): Promise<RunningService> {
  const home = mkdtempSync(join(tmpdir(), "signet-test-home-"));
  const name = basename(library);
  // `create` makes the faulty plugin misbehave when its instance is made; its tensors are the same without.
  const { create: _, ...harmless } = config;
  const { instance } = await describeService({ files: [{ name, role: "library", path: library }], config: harmless });
  const events: ServiceEvent[] = [];
  const sealed = new SealedFiles().sealUnchecked(library, name);
  const runner = new ServiceRunner({
    name: name.replace(/^libsignet_|\.so$/g, ""),
    files: [{ name, role: "library", fd: sealed.fd }],
    config,
    inputs: instance.inputs,
    outputs: instance.outputs,
    concurrency: 1,
    admission: "queue",
    maxQueue: 64,
    queueTimeoutMs: null,
    slotBytes: 8 << 20,
    memoryLimitBytes: 2 ** 31,
    cancelGraceMs: 500,
    startTimeoutMs: 30_000,
    home,
    onEvent: (event) => events.push(event),
    ...options,
  });
  onTestFinished(async () => {
    await runner.stop(0);
    rmSync(home, { recursive: true, force: true });
  });
  const failure = isStarted ? await runner.start() : null;
  if (failure) throw failure;
  return { runner, events, home };
}

/** What a job is charged where nothing is counted. @param ended called when native code has ended */
export function freeOfCharge(ended: () => void = () => {}): Charge {
  return { started: () => {}, ended, takenBack: () => {} };
}

export function job(inputs: Tensor[], options: Partial<Job> = {}): Job {
  return {
    inputs,
    priority: 0,
    deadlineMs: Number.POSITIVE_INFINITY,
    queueTimeoutMs: null,
    runLimitMs: 30_000,
    begin: () => freeOfCharge(),
    ...options,
  };
}

/** A job for the `faulty` plugin: misbehave in this way. */
export function faultyJob(mode: string, amount = 1, options: Partial<Job> = {}): Job {
  const text = Buffer.from(mode);
  const element = Buffer.alloc(4 + text.length);
  element.writeUInt32LE(text.length);
  text.copy(element, 4);
  return job(
    [
      { name: "mode", datatype: "BYTES", shape: [1], data: element },
      {
        name: "amount",
        datatype: "INT64",
        shape: [1],
        data: new Uint8Array(new BigInt64Array([BigInt(amount)]).buffer),
      },
    ],
    options,
  );
}

/** The same as a ModelInfer request. */
export function faultyRequest(mode: string, amount = 1, service = "faulty") {
  const { inputs } = faultyJob(mode, amount);
  return {
    model_name: service,
    inputs: inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
    raw_input_contents: inputs.map(({ data }) => data),
  };
}

/** A job for the `identity` plugin in its default form: bytes in, bytes out. */
export function identityJob(bytes: Uint8Array, options: Partial<Job> = {}): Job {
  return job([{ name: "input", datatype: "UINT8", shape: [bytes.byteLength], data: bytes }], options);
}

/** The one number of `faulty`'s result. */
export function faultyResult(outputs: readonly Tensor[]): number {
  return Number(Buffer.from(outputs[0]!.data).readBigInt64LE());
}
