import { tensorsFromReply } from "../../../src/engine/output.ts";
import { parseInstanceFacts, parsePluginFacts } from "../../../src/plugin/description.ts";
import type { TensorSpec } from "../../../src/tensor/index.ts";
import { mutateJson } from "../mutate-json.ts";
import { hold, type Target } from "../target.ts";

const specs: readonly TensorSpec[] = [
  { name: "out", datatype: "FP32", shape: [-1, 2] },
  { name: "text", datatype: "BYTES", shape: [-1] },
];
/** Two floats, then two byte strings. */
const slot = Buffer.concat([Buffer.alloc(8, 1), Buffer.from([1, 0, 0, 0, 0x61, 0, 0, 0, 0])]);

/** A service host's answer to a job; the host may have been taken over by its plugin. */
export function serviceReply(): Target {
  const outputs = [
    { dtype: 1, shape: [1, 2], offset: 0, bytes: 8 },
    { dtype: 8, shape: [2], offset: 8, bytes: 9 },
  ];
  const failed = { ok: false, reason: "plugin", status: 3, message: "no" };
  return {
    codes: [
      "SERVICE_PROTOCOL",
      "PLUGIN_FAILED",
      "REQUEST_MALFORMED",
      "OUTPUT_TOO_LARGE",
      "CANCELLED",
      "DEADLINE_EXCEEDED",
    ],
    starts: [{ ok: true, outputs, runUs: 12 }, failed, { ...failed, reason: "too-large" }].map((reply) =>
      Buffer.from(JSON.stringify(reply)),
    ),
    mutate: mutateJson,
    maxBytes: 1024,
    run(input) {
      const reply = messageFrom(input);
      if (reply === undefined) return "refused: no message";
      const tensors = tensorsFromReply("demo", reply as never, specs, slot);
      hold(tensors.length === specs.length, "every output is there");
      hold(
        tensors.every(({ data }) => data.byteLength <= slot.byteLength && data.buffer !== slot.buffer),
        "an output is a copy from the slot",
      );
      return "accepted";
    },
  };
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

function messageFrom(input: Buffer): unknown {
  try {
    return JSON.parse(input.toString());
  } catch {
    return undefined;
  }
}
