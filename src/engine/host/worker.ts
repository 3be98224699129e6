import { workerData } from "piscina";
import { knock, Runner, type RunnerOptions } from "../../plugin/index.ts";
import { BELL_FD } from "../protocol.ts";

/** What a thread is asked by piscina: to get ready, and then to take jobs for as long as the process lives. */
export type WorkerTask = "get ready" | "serve";

const runner = new Runner(workerData as RunnerOptions);

/** The piscina task. A thread that serves never comes back: it sleeps in the ring, not in piscina's queue. */
export default function runTask(task: WorkerTask): void {
  if (task === "get ready") return;
  const { rings } = runner.slots;
  for (;;) {
    const slot = rings.take();
    runner.run(slot);
    if (rings.complete(slot)) knock(BELL_FD);
  }
}
