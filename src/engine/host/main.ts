import { Piscina } from "piscina";
import { SignetError } from "../../errors.ts";
import {
  closeSandbox,
  dieWithParent,
  exitNow,
  loadPlugin,
  type Plugin,
  parseInstanceFacts,
  parsePluginFacts,
  Slots,
} from "../../plugin/index.ts";
import { openParentChannel } from "../channel.ts";
import { BEAT_INTERVAL_MS, CHANNEL_FD, type FromHost, type ToHost } from "../protocol.ts";
import type { WorkerTask } from "./worker.ts";

/**
 * The main thread of a service host. It loads the plugin and owns its instance, so that the library stays
 * loaded whatever becomes of a worker thread, and gives piscina's workers the one task of taking jobs, which call run().
 */

let plugin: Plugin | undefined;
let instance: bigint | undefined;

const channel = openParentChannel<FromHost>({
  onMessage: (message) => receive(message as ToHost),
  onBroken: dieAtOnce,
  onEnd: dieAtOnce,
});

function tell(message: FromHost): void {
  channel.send(message);
}

// process.exit() would wait for a worker that is stuck in native code, for ever; a signal does not.
function dieAtOnce(): void {
  process.kill(process.pid, "SIGKILL");
}

async function start(message: Extract<ToHost, { type: "start" }>): Promise<void> {
  plugin = loadPlugin(message.files);
  const facts = plugin.describe(null);
  instance = plugin.create(
    message.config,
    message.files.filter((file) => file.role === "model"),
    message.device,
  );
  const instanceFacts = plugin.describe(instance);
  // Parsed here only to give the workers their tensor names; the gateway parses it again for itself.
  const { inputs, outputs } = parseInstanceFacts(instanceFacts);
  // The gateway gives such a plugin one job at a time; more threads would only hold memory.
  const threads = parsePluginFacts(facts).threading === "single" ? 1 : message.threads;
  const { address } = Slots.open(message.slots.fd, message.slots.layout);
  const pool = new Piscina<WorkerTask, void>({
    filename: new URL("./worker.ts", import.meta.url).href,
    minThreads: threads,
    maxThreads: threads,
    maxQueue: threads,
    concurrentTasksPerWorker: 1,
    // A worker that ends leaks what it mapped, and a job in native code cannot be ended with it.
    idleTimeout: Number.POSITIVE_INFINITY,
    atomics: "sync",
    workerData: { plugin: plugin.address, instance, inputs, outputs, slots: { ...message.slots, address } },
  });
  const all = (task: WorkerTask) => Promise.all(Array.from({ length: threads }, () => pool.run(task)));
  await all("get ready");
  // Never resolves; a thread that fails, which nothing a plugin does makes it, ends the process with its jobs.
  all("serve").catch(fail);
  tell({ type: "ready", plugin: facts, instance: instanceFacts });
  setInterval(() => tell({ type: "beat" }), BEAT_INTERVAL_MS);
}

function fail(thrown: unknown): void {
  const { code, message } = thrown instanceof SignetError ? thrown : new SignetError("INTERNAL", String(thrown));
  channel.send({ type: "failed", code, message }, () => exitNow(1));
}

function receive(message: ToHost): void {
  switch (message.type) {
    case "start":
      start(message).catch(fail);
      break;
    case "stop":
      if (instance !== undefined) plugin?.destroy(instance);
      exitNow(0);
  }
}

// A gateway that is killed must leave nothing behind, also where this thread is inside a plugin's create().
dieWithParent(CHANNEL_FD);
closeSandbox();

// A terminal and systemd signal every process of the server at once; the jobs in here end when the gateway says so.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
