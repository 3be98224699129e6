import { workerData } from "piscina";
import { type InputPlace, Runner, type RunnerOptions, type RunReply } from "../../plugin/index.ts";

/** A job for a worker thread; null only makes the thread get ready. */
export type WorkerTask = {
  readonly slot: number;
  readonly inputs: readonly InputPlace[];
  readonly outputsOffset: number;
} | null;

const runner = new Runner(workerData as RunnerOptions);

/** The piscina task. Results are returned, never thrown, because an error's own fields are lost on the way. */
export default function runTask(task: WorkerTask): RunReply | null {
  return task === null ? null : runner.run(task.slot, task.inputs, task.outputsOffset);
}
