import type { TensorSpec } from "../tensor/index.ts";
import type { Service } from "./inference.ts";

/** What the protocol tells of a service, in its words: the same over gRPC and in JSON. */

export function modelMetadata({ conf, runner }: Service) {
  return {
    name: conf.name,
    versions: [conf.version],
    platform: platformOf(runner),
    inputs: conf.inputs.map(tensorMetadata),
    outputs: conf.outputs.map(tensorMetadata),
  };
}

export function modelConfig({ conf, runner }: Service) {
  const tensorConfig = ({ name, datatype, shape }: TensorSpec) => ({
    name,
    data_type: datatype === "BYTES" ? "TYPE_STRING" : `TYPE_${datatype}`,
    dims: [...shape],
  });
  return {
    name: conf.name,
    platform: platformOf(runner),
    backend: runner.facts?.plugin.name ?? "",
    // No batching by the server: a shape is what one call carries, batch dimension included.
    max_batch_size: 0,
    input: conf.inputs.map(tensorConfig),
    output: conf.outputs.map(tensorConfig),
    instance_group: [{ name: conf.name, count: conf.limits.concurrency, kind: "KIND_CPU" as const, gpus: [] }],
    parameters: Object.fromEntries(Object.entries(conf.parameters).map(([key, text]) => [key, { string_value: text }])),
    model_transaction_policy: { decoupled: false },
    response_cache: { enable: false },
  };
}

/** What runs the service, for clients that show it. */
function platformOf({ facts }: Service["runner"]): string {
  return facts ? `signet_${facts.plugin.name}` : "signet";
}

function tensorMetadata({ name, datatype, shape }: TensorSpec) {
  return { name, datatype, shape: [...shape] };
}
