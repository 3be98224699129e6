import { randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, tmpdir } from "node:os";
import { join } from "node:path";
import { Metadata, type ServerInterceptingCallInterface } from "@grpc/grpc-js";
import { dataDirectory } from "../src/config/index.ts";
import { tensorsFromReply } from "../src/engine/output.ts";
import { createCallGate } from "../src/grpc/call-gate.ts";
import { InferenceClient, type InferRequestMessage, inferenceService } from "../src/grpc/index.ts";
import { verifyInferRequestBytes } from "../src/grpc/infer-request-limits.ts";
import { decodeInferRequest } from "../src/grpc/tensors.ts";
import { isNearEnd } from "../src/license/index.ts";
import { SealedFiles, verifyFiles } from "../src/plugin/index.ts";
import {
  authorizeInstalled,
  CallQuotas,
  openAccess,
  openHostAudit,
  openHostLedger,
  SecondAuthorization,
} from "../src/service/index.ts";
import { createLog, openRunLog } from "../src/telemetry/index.ts";
import { validateInputs, validateOutputs } from "../src/tensor/index.ts";
import { cpuTimeUs, createBenchHost, root, startProcess } from "./host.ts";
import { median } from "./measure.ts";

/**
 * What each check of a call costs, and its share of a whole call: the real functions on a call of 64 bytes, in one
 * process, warmed up. Processor time, not time that passed, so that other programs on the machine matter little.
 * Run with `node bench/checks.ts`.
 */

const ROUNDS = 7;
/** A round is long against the microsecond that the kernel counts in. */
const ROUND_MS = 150;
/** Calls that end in one turn of the event loop, where work is shared among them. */
const TOGETHER = 32;
/** Whole calls of a round, after a quarter of that to warm up. */
const CALLS = 4000;
const FILES = 4;

interface Check {
  readonly name: string;
  /** How often a call does it. */
  readonly times: number;
  /** Once. What it returns is used, so that it cannot be left out. */
  act(): unknown;
  /** After every TOGETHER of them. */
  after?(): Promise<void>;
}

const scratch = mkdtempSync(join(tmpdir(), "signet-bench-checks-"));
const models = Array.from({ length: FILES - 1 }, (_, index) => join(scratch, `model-${index}.bin`));
for (const path of models) writeFileSync(path, randomBytes(1024));
const library = join(root, "build", "native", "libsignet_identity.so");
const limits = { runs: 100_000_000, concurrency: 2, jobTime: "60s" };
const host = createBenchHost([{ name: "identity", library, models, limits }]);
const bytes = randomBytes(64);

try {
  const callNs = await measureWholeCall();
  const results: { name: string; times: number; ns: number }[] = [];
  for (const check of await openChecks()) results.push({ ...check, ns: await measure(check) });
  print(results, callNs);
} finally {
  host.remove();
  rmSync(scratch, { recursive: true, force: true });
}
process.exit(); // what was opened for the checks stays open

/** Processor time of the gateway for a call of 64 bytes, ns. */
async function measureWholeCall(): Promise<number> {
  const serve = ["--data", host.data, "serve", "--listen", "127.0.0.1:0", "--log-format", "json"];
  const server = await startProcess(process.execPath, ["--disable-sigusr1", "src/cli/main.ts", ...serve]);
  const client = new InferenceClient({ server: server.address, token: host.token, timeoutMs: 60_000 });
  const inputs = [{ name: "input", datatype: "UINT8" as const, shape: [bytes.length], data: bytes }];
  const found: number[] = [];
  const makeCalls = async (count: number) => {
    let left = count;
    const caller = async () => {
      while (left-- > 0) await client.infer("identity", inputs);
    };
    await Promise.all(Array.from({ length: TOGETHER }, caller));
  };
  for (let round = 0; round < ROUNDS; round++) {
    await makeCalls(CALLS / 4);
    const before = cpuTimeUs(server.pid);
    await makeCalls(CALLS);
    found.push(((cpuTimeUs(server.pid) - before) * 1000) / CALLS);
  }
  client.close();
  await server.stop();
  return median(found);
}

/** What a call passes, in its order, with real parts that are set up as the server does. */
async function openChecks(): Promise<Check[]> {
  const data = dataDirectory(host.data);
  const log = createLog({ level: "silent", format: "json" });
  const { first } = await authorizeInstalled(data, (key) => openHostLedger(data, key), new SealedFiles());
  const { authorized, ledger } = first;
  const { license } = authorized;
  const service = first.services[0]!;
  const { conf } = service;
  const authorization = new SecondAuthorization(license, ledger, service);
  const unwatched = verifyFiles(join(data.licenseDir, "files", conf.name), conf.files, new SealedFiles());
  unwatched.stopWatching(); // the same without a look at the disk
  const timeOnly = new SecondAuthorization(license, ledger, { conf, files: unwatched });

  const access = openAccess({ file: data.accessFile, log });
  const quotas = new CallQuotas();
  const audit = await openHostAudit(data, log);
  const header = `Bearer ${host.token}`;
  const identity = access.authenticate(header);
  const limited = { ...identity, limits: { callsPerSecond: 1e9, burst: 1e9, concurrent: 1000 } };
  const admitAndRelease = () => {
    const admission = quotas.admit(limited);
    if (admission.isAdmitted) admission.release();
    return admission;
  };
  const gate = createCallGate({ access, quotas, audit, isOpen: () => false });
  const path = "/inference.GRPCInferenceService/ModelInfer";
  const metadata = new Metadata();
  metadata.set("authorization", header);
  let passed = 0;
  const handler = { onReceiveMetadata: () => passed++, onCancel: () => undefined } as never;
  const gateCall = () => {
    gate({ path } as never, arriving).start(handler);
    return passed;
  };
  // The transport's end of a call, at which nothing happens but that its headers have come.
  const arriving = {
    start: (listener: { onReceiveMetadata(received: Metadata): void }) => listener.onReceiveMetadata(metadata),
    getPeer: () => "127.0.0.1:1",
  } as unknown as ServerInterceptingCallInterface;

  const { requestSerialize, requestDeserialize } = inferenceService().ModelInfer;
  const message = requestSerialize({
    model_name: conf.name,
    inputs: [{ name: "input", datatype: "UINT8", shape: [bytes.length] }],
    raw_input_contents: [bytes],
  } as unknown as InferRequestMessage);
  const request = decodeInferRequest(requestDeserialize(message));
  const runLog = openRunLog(data.runLogFile, log);
  const output = { dtype: 2, shape: [bytes.length], offset: 0, bytes: bytes.length };
  const reply = { ok: true as const, outputs: [output], runUs: 1 };
  const slot = Buffer.alloc(1 << 20);
  const runLine = () =>
    runLog.append({
      time: new Date().toISOString(),
      service: conf.name,
      version: conf.version,
      jobId: randomUUID(),
      client: identity.name,
      peer: "127.0.0.1",
      durationMs: 0.123,
      queueMs: 0.045,
      outcome: "OK",
      charged: true,
      runsLeft: authorization.runsLeft,
    });
  return [
    { name: "call gate, before a byte of the message is read", times: 1, act: gateCall },
    { name: "· of it: token looked up, hashed and compared", times: 0, act: () => access.authenticate(header) },
    { name: "· of it: limits of a caller who has some", times: 0, act: admitAndRelease },
    { name: "decoded, the counting included", times: 1, act: () => decodeInferRequest(requestDeserialize(message)) },
    { name: "· of it: the parts of the request counted", times: 0, act: () => verifyInferRequestBytes(message) },
    { name: "role and grant", times: 1, act: () => identity.require("infer", conf.name) },
    {
      name: `second authorization with ${FILES} files`,
      times: 2,
      act: () => authorization.verify(),
    },
    { name: "· of it: time, clock and enforcement, without the files", times: 0, act: () => timeOnly.verify() },
    {
      name: "tensors validated",
      times: 1,
      act: () => [
        validateInputs(request.inputs, conf.inputs),
        validateOutputs(
          request.outputs.map(({ name }) => name),
          conf.outputs,
        ),
      ],
    },
    {
      name: "ledger: a run debited and settled, leases and syncs shared",
      times: 1,
      act: () => {
        const ticket = ledger.charge(license.licenseId, conf.name, conf.limits);
        ledger.start(ticket);
        ledger.settle(ticket);
      },
    },
    {
      name: "answer of the plugin's process checked and copied",
      times: 1,
      act: () => tensorsFromReply(conf.name, reply, conf.outputs, slot, false),
    },
    { name: "warnings trailer: is the end near", times: 1, act: () => isNearEnd(authorization.time) },
    { name: "line of the run log, written", times: 1, act: runLine, after: () => runLog.flush() },
    {
      name: "audit log: nothing for a call that passes; a refused one",
      times: 0,
      act: () => audit.refused({ code: "PERMISSION_DENIED", identity: "bench", peer: "127.0.0.1" }),
    },
  ];
}

/** Median over the rounds, ns of processor time. */
async function measure({ act, after }: Check): Promise<number> {
  let used = 0;
  const together = async (calls: number) => {
    for (let call = 0; call < calls; call += TOGETHER) {
      for (let each = 0; each < TOGETHER; each++) if (act() !== undefined) used++;
      if (after !== undefined) await after();
    }
  };
  let calls = 10 * TOGETHER;
  for (let tookMs = 0; tookMs < ROUND_MS; calls *= 2) {
    const startedMs = performance.now();
    await together(calls);
    tookMs = performance.now() - startedMs;
  }
  const found: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage();
    await together(calls);
    const { user, system } = process.cpuUsage(before);
    found.push(((user + system) * 1000) / calls);
  }
  if (used < 0) throw new Error("counted backwards");
  return median(found);
}

function print(results: readonly { name: string; times: number; ns: number }[], callNs: number): void {
  const row = (name: string, ns: string, share: string) =>
    console.log(`| ${name.padEnd(60)} | ${ns.padStart(8)} | ${share.padStart(8)} |`);
  const percent = (ns: number) => `${((100 * ns) / callNs).toFixed(2)} %`;
  const rounded = (ns: number) => Math.round(ns).toLocaleString("en");
  console.log(`${cpus().length} x ${cpus()[0]!.model}, Linux ${release()}, Node ${process.version}`);
  console.log(`load ${loadavg()[0]!.toFixed(1)}; medians of ${ROUNDS} rounds\n`);
  row("Check", "ns", "share");
  row("---", "---:", "---:");
  let sum = 0;
  for (const { name, times, ns } of results) {
    const total = ns * Math.max(1, times);
    if (times > 0) sum += total;
    row(times > 1 ? `${name} (${times} times)` : name, rounded(total), times > 0 ? percent(total) : "");
  }
  row("**all of it**", rounded(sum), percent(sum));
  row("the whole call: gateway, 64 B, 32 in flight", rounded(callNs), "100 %");
}
