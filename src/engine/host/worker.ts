import { workerData } from "piscina";
import { knock, Runner, type RunnerOptions } from "../../plugin/index.ts";
import { BELL_FD } from "../protocol.ts";

/** What a thread is asked by piscina: to get ready, and then to take jobs for as long as the process lives. */
export type WorkerTask = "get ready" | "serve";

/** The gateway hears of a job that has ended after so much more work at the latest: one call for many jobs. */
const MAX_UNTOLD_US = 50;
/** About what a run takes besides the plugin. */
const RUN_OVERHEAD_US = 3;

const runner = new Runner(workerData as RunnerOptions);

/** The piscina task. A thread that serves never comes back: it sleeps in the ring, not in piscina's queue. */
export default function runTask(task: WorkerTask): void {
  if (task === "get ready") return;
  const { rings } = runner.slots;
  let untoldUs = 0;
  for (;;) {
    let slot = rings.tryTake();
    if (slot < 0) {
      if (untoldUs > 0) tell();
      untoldUs = 0;
      slot = rings.take();
    }
    untoldUs += runner.run(slot) + RUN_OVERHEAD_US;
    rings.complete(slot);
    if (untoldUs < MAX_UNTOLD_US) continue;
    tell();
    untoldUs = 0;
  }
}

function tell(): void {
  if (runner.slots.rings.mustWakeGateway()) knock(BELL_FD);
}
