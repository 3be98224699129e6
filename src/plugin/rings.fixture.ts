import { workerData } from "node:worker_threads";
import { Slots, type SlotsLayout } from "./slots.ts";

/** A thread of a service host without a plugin: its output is as long as its input. A slot that is none ends it. */
const { fd, layout } = workerData as { fd: number; layout: SlotsLayout };
const slots = Slots.open(fd, layout);
for (let slot = slots.rings.take(); slot < layout.count; slot = slots.rings.take()) {
  const task = slots.task(slot);
  task.writeOutput(0, 0, task.inputBytes(0), 2, [task.inputSize(0, 0)]);
  task.succeed(1);
  slots.rings.complete(slot);
}
