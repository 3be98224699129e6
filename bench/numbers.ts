import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readImage } from "../clients/node/index.ts";
import { processingFor } from "../clients/processing/index.ts";
import { dataDirectory } from "../src/config/index.ts";
import { InferenceClient } from "../src/grpc/index.ts";
import { loadPlugin, Runner, SealedFiles, Slots } from "../src/plugin/index.ts";
import { authorizeFirst, openHostLedger } from "../src/service/index.ts";
import { encodeBytesElements, type Tensor } from "../src/tensor/index.ts";
import { createBenchHost, root, startProcess } from "./host.ts";
import { median } from "./measure.ts";

/**
 * What a host's operator waits for, measured against the real programs: the start, the way back after a crash, and a
 * whole recognition beside the same library in this process. Run with `node bench/numbers.ts`.
 */

const native = (name: string) => join(root, "build", "native", name);
const models = join(root, "node_modules", "@gutenye", "ocr-models", "assets");
const recognition = join(models, "ch_PP-OCRv4_rec_infer.onnx");

const scratch = mkdtempSync(join(tmpdir(), "signet-bench-files-"));
const libraries = { library: native("libsignet_onnxruntime.so"), dependencies: [native("libonnxruntime.so.1")] };
const bundleBytes = 64 * 2 ** 20;
// Fills the text recognizer's files up to 64 MiB.
const padding = join(scratch, "padding.bin");
const present = [libraries.library, ...libraries.dependencies, recognition].reduce(
  (sum, f) => sum + statSync(f).size,
  0,
);
writeFileSync(padding, randomBytes(Math.max(1, bundleBytes - present)));

const host = createBenchHost([
  {
    name: "text-recognizer",
    ...libraries,
    models: [recognition, padding],
    config: { model: "ch_PP-OCRv4_rec_infer.onnx", intraOpThreads: 1 },
    limits: { runs: 1_000_000, concurrency: 2 },
  },
  { name: "faulty", library: native("libsignet_faulty.so"), limits: { runs: 1_000_000 } },
]);

try {
  await measureAuthorization();
  await measureServing();
} finally {
  host.remove();
  rmSync(scratch, { recursive: true, force: true });
}

/** First authorization, in this process. */
async function measureAuthorization(): Promise<void> {
  const data = dataDirectory(host.data);
  const startedMs = performance.now();
  const first = await authorizeFirst(data, (hostKey) => openHostLedger(data, hostKey));
  const tookMs = performance.now() - startedMs;
  const bytes = first.services.reduce((sum, { files }) => sum + files.bytes, 0);
  say(
    "first authorization",
    `${tookMs.toFixed(0)} ms for ${(bytes / 2 ** 20).toFixed(1)} MiB in ${first.services.length} services`,
  );
  first.ledger.close();
}

async function measureServing(): Promise<void> {
  const serve = ["--data", host.data, "serve", "--listen", "127.0.0.1:0", "--log-format", "json"];
  const server = await startProcess(process.execPath, ["--disable-sigusr1", "src/cli/main.ts", ...serve]);
  const client = new InferenceClient({ server: server.address, token: host.token, timeoutMs: 60_000 });
  try {
    await measureRecovery(client);
    await measureRecognition(client);
  } finally {
    client.close();
    await server.stop();
  }
}

async function measureRecovery(client: InferenceClient): Promise<void> {
  const faulty = (mode: string): Tensor[] => [
    { name: "mode", datatype: "BYTES", shape: [1], data: encodeBytesElements([Buffer.from(mode)]) },
    { name: "amount", datatype: "INT64", shape: [1], data: new Uint8Array(new BigInt64Array([1n]).buffer) },
  ];
  const times: number[] = [];
  for (let round = 0; round < 5; round++) {
    await client.infer("faulty", faulty("ok"));
    const startedMs = performance.now();
    await client.infer("faulty", faulty("abort")).catch(() => {});
    await client.infer("faulty", faulty("ok"));
    times.push(performance.now() - startedMs);
  }
  const worst = Math.max(...times);
  say("plugin abort to next good answer", `median ${median(times).toFixed(0)} ms of 5 (worst ${worst.toFixed(0)} ms)`);
}

/** One text line through everything, against the same library called in this process. */
async function measureRecognition(client: InferenceClient): Promise<void> {
  const image = await readImage(join(root, "examples", "text-lines", "plain-sans.png"));
  const [input] = processingFor("text-line").prepare(image, {}) as Tensor[];
  const served = await medianMs(() => client.infer("text-recognizer", [input!]));

  const sealed = new SealedFiles();
  const seal = (path: string, role: "library" | "dependency" | "model") => {
    const name = path.slice(path.lastIndexOf("/") + 1);
    return { name, role, fd: sealed.sealUnchecked(path, name).fd };
  };
  process.env.ORT_DISABLE_TELEMETRY = "1";
  const plugin = loadPlugin([seal(libraries.dependencies[0]!, "dependency"), seal(libraries.library, "library")]);
  const instance = plugin.create({ intraOpThreads: 1 }, [seal(recognition, "model")]);
  const facts = JSON.parse(plugin.describe(instance));
  const slots = Slots.create({ count: 1, bytes: 64 << 20, inputs: 1, outputs: 1 });
  const runner = new Runner({ plugin: plugin.address, instance, ...facts, slots });
  const task = slots.task(0);
  const inProcess = await medianMs(async () => {
    slots.data(0).set(input!.data, 0);
    slots.resetControl(0, 0);
    task.write([{ shape: input!.shape, offset: 0, bytes: input!.data.byteLength }], 1 << 20);
    runner.run(0);
    const reply = task.readReply();
    if (!reply?.ok) throw new Error(reply?.message ?? "an answer of unknown shape");
  });
  const ratio = (served / inProcess).toFixed(2);
  say(
    "PP-OCR line, served over gRPC",
    `median ${served.toFixed(1)} ms; in process ${inProcess.toFixed(1)} ms; ratio ${ratio}`,
  );
}

async function medianMs(act: () => Promise<unknown>, rounds = 41): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const startedMs = performance.now();
    await act();
    times.push(performance.now() - startedMs);
  }
  return median(times);
}

function say(what: string, found: string): void {
  console.log(`${what.padEnd(44)} ${found}`);
}
