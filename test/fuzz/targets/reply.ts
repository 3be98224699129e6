import { tensorsFromReply } from "../../../src/engine/output.ts";
import { parseInstanceFacts, parsePluginFacts } from "../../../src/plugin/description.ts";
import { TaskBlock } from "../../../src/plugin/task-block.ts";
import type { TensorSpec } from "../../../src/tensor/index.ts";
import { type Mutator, mutateBytes } from "../mutate.ts";
import { mutateJson } from "../mutate-json.ts";
import { hold, type Target } from "../target.ts";

const specs: readonly TensorSpec[] = [
  { name: "out", datatype: "FP32", shape: [-1, 2] },
  { name: "text", datatype: "BYTES", shape: [-1] },
];
/** Two floats, then two byte strings. */
const slot = Buffer.concat([Buffer.alloc(8, 1), Buffer.from([1, 0, 0, 0, 0x61, 0, 0, 0, 0])]);

const BLOCK_BYTES = TaskBlock.bytes(0, specs.length);
const odd = [
  ...[Number.NaN, Number.POSITIVE_INFINITY, -1, -0, 0.5, 0, 1, 2, 3, 4, 5, 8, 9, 17, 2048, 2049],
  ...[2 ** 31, 2 ** 32, 2 ** 53, Number.MAX_VALUE],
];

/** Puts an odd number into one of a task's places, or changes bytes. */
const mutateTask: Mutator = (input, source) => {
  const { random } = source;
  if (random.below(2) === 0) return mutateBytes(input, source);
  const block = Buffer.concat([input], BLOCK_BYTES);
  block.writeDoubleLE(random.pick(odd), 8 * random.below(BLOCK_BYTES >> 3));
  return block;
};

/** What a service host wrote into a job's task; the host may have been taken over by its plugin. */
export function serviceReply(): Target {
  return {
    codes: [
      "SERVICE_PROTOCOL",
      "PLUGIN_FAILED",
      "REQUEST_MALFORMED",
      "OUTPUT_TOO_LARGE",
      "CANCELLED",
      "DEADLINE_EXCEEDED",
    ],
    starts: [
      writtenTask((task) => {
        task.writeOutput(0, 0, 8, 1, [1, 2]);
        task.writeOutput(1, 8, 9, 8, [2]);
        task.succeed(12);
      }),
      writtenTask((task) => task.fail("plugin", 3, "no")),
      writtenTask((task) => task.fail("too-large", 8, "no")),
    ],
    mutate: mutateTask,
    maxBytes: BLOCK_BYTES,
    run(input) {
      const reply = taskIn(new Uint8Array(Buffer.concat([input], BLOCK_BYTES))).readReply();
      const tensors = tensorsFromReply("demo", reply, specs, slot, false);
      hold(tensors.length === specs.length, "every output is there");
      hold(
        tensors.every(({ data }) => data.byteLength <= slot.byteLength && data.buffer !== slot.buffer),
        "an output is a copy from the slot",
      );
      return "accepted";
    },
  };
}

function taskIn(memory: Uint8Array): TaskBlock {
  return new TaskBlock(memory, 0, specs.length);
}

function writtenTask(write: (task: TaskBlock) => void): Buffer {
  const memory = new Uint8Array(BLOCK_BYTES);
  write(taskIn(memory));
  return Buffer.from(memory);
}

/** What a plugin says of itself and of its model. */
export function pluginDescription(): Target {
  const facts = {
    ...{ name: "demo", version: "1", vendor: "ACME", description: "", threading: "single", cancel: "poll" },
    ...{ progress: false, devices: ["cpu"], files: "", config: { threads: "how many" } },
  };
  const tensor = { name: "in", datatype: "FP32", shape: [-1, 3] };
  return {
    codes: ["PLUGIN_INCOMPATIBLE"],
    starts: [Buffer.from(JSON.stringify({ ...facts, inputs: [tensor], outputs: [tensor] }))],
    mutate: mutateJson,
    maxBytes: 1024,
    run(input) {
      const { inputs, outputs } = parseInstanceFacts(input.toString());
      hold(
        [...inputs, ...outputs].every(({ shape }) => shape.length <= 8),
        "a tensor has at most 8 dimensions",
      );
      parsePluginFacts(input.toString());
      return "accepted";
    },
  };
}
