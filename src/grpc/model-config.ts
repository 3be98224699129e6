import type { Service } from "../service/index.ts";
import type { TensorSpec } from "../tensor/index.ts";
import type { ModelConfigMessage, TensorMetadataMessage } from "./messages.ts";

/** What runs the service, for clients that show it. */
export function platformOf({ facts }: Service["runner"]): string {
  return facts ? `signet_${facts.plugin.name}` : "signet";
}

export function tensorMetadata({ name, datatype, shape }: TensorSpec): TensorMetadataMessage {
  return { name, datatype, shape: [...shape] };
}

export function modelConfig({ conf, runner }: Service): ModelConfigMessage {
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
    instance_group: [{ name: conf.name, count: conf.limits.concurrency, kind: "KIND_CPU", gpus: [] }],
    parameters: Object.fromEntries(Object.entries(conf.parameters).map(([key, text]) => [key, { string_value: text }])),
    model_transaction_policy: { decoupled: false },
    response_cache: { enable: false },
  };
}
