import type { QueuePolicy } from "../engine/index.ts";
import type { TensorSpec } from "../tensor/index.ts";
import type { Service } from "./inference.ts";
import type { Scheduling } from "./scheduling.ts";

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

export function modelConfig({ conf, runner, scheduling, isCached }: Service) {
  const { maxBatchSize = 0 } = conf;
  const tensorConfig = ({ name, datatype, shape }: TensorSpec) => ({
    name,
    data_type: datatype === "BYTES" ? "TYPE_STRING" : `TYPE_${datatype}`,
    // Clients put the batch dimension before these themselves, but where there is none.
    dims: maxBatchSize > 0 ? shape.slice(1) : [...shape],
  });
  return {
    name: conf.name,
    platform: platformOf(runner),
    version_policy: versionPolicyOf(conf.version),
    backend: runner.facts?.plugin.name ?? "",
    max_batch_size: maxBatchSize,
    input: conf.inputs.map(tensorConfig),
    output: conf.outputs.map(tensorConfig),
    instance_group: [{ name: conf.name, count: conf.limits.concurrency, kind: "KIND_CPU" as const, gpus: [] }],
    parameters: Object.fromEntries(Object.entries(conf.parameters).map(([key, text]) => [key, { string_value: text }])),
    model_transaction_policy: { decoupled: false },
    response_cache: { enable: isCached },
    ...dynamicBatchingOf(scheduling),
  };
}

/** How calls run together, where they do. */
function dynamicBatchingOf({ batching, priorities, ...policy }: Scheduling) {
  if (batching === null) return {};
  const { levels, default: fallback, queues } = priorities;
  return {
    dynamic_batching: {
      preferred_batch_size: [...batching.preferredSizes],
      max_queue_delay_microseconds: Math.round(batching.maxQueueDelayMs * 1000),
      preserve_ordering: false,
      priority_levels: levels,
      default_priority_level: fallback === 0 ? levels : fallback,
      default_queue_policy: queuePolicyOf(policy),
      priority_queue_policy: Object.fromEntries(
        Object.entries(queues).map(([level, own]) => [level, queuePolicyOf(own)]),
      ),
    },
  };
}

function queuePolicyOf({ maxQueue, queueTimeoutMs, queueTimeoutAction, allowTimeoutOverride }: QueuePolicy) {
  return {
    timeout_action: queueTimeoutAction === "delay" ? ("DELAY" as const) : ("REJECT" as const),
    default_timeout_microseconds: (queueTimeoutMs ?? 0) * 1000,
    allow_timeout_override: allowTimeoutOverride,
    max_queue_size: maxQueue,
  };
}

/** A license names one version of a service, which is the only one there is. In the protocol's policies versions are integers. */
function versionPolicyOf(version: string) {
  const isInteger = /^(0|[1-9]\d{0,14})$/.test(version);
  return isInteger ? { specific: { versions: [Number(version)] } } : { latest: { num_versions: 1 } };
}

/** What runs the service, for clients that show it. */
function platformOf({ facts }: Service["runner"]): string {
  return facts ? `signet_${facts.plugin.name}` : "signet";
}

function tensorMetadata({ name, datatype, shape }: TensorSpec) {
  return { name, datatype, shape: [...shape] };
}
