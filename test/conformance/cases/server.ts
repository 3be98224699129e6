import type { Area, ConformanceCase } from "../case.ts";
import { denied, notFound, unauthenticated } from "../failures.ts";
import { datatypes, good } from "../tensors.ts";

const extensions = [
  ...["classification", "model_repository", "model_repository(unload_dependents)", "schedule_policy"],
  ...["model_configuration", "binary_tensor_data", "parameters", "statistics", "trace", "logging"],
  "system_shared_memory",
];

const describedServices = datatypes.map((datatype): ConformanceCase => {
  const data_type = datatype === "BYTES" ? "TYPE_STRING" : `TYPE_${datatype}`;
  const tensor = { datatype, shape: ["-1"] };
  const configured = { data_type, dims: ["-1"] };
  return {
    name: `a service of ${datatype} names its tensors`,
    family: "a service of any datatype names its tensors",
    steps: [
      {
        call: "ModelMetadata",
        request: { name: datatype },
        answer: {
          ...{ name: datatype, versions: ["1"], platform: "signet_identity" },
          inputs: [{ name: "input", ...tensor }],
          outputs: [{ name: "output", ...tensor }],
        },
      },
      {
        call: "ModelConfig",
        request: { name: datatype },
        answer: { config: { input: [{ name: "input", ...configured }], output: [{ name: "output", ...configured }] } },
      },
    ],
  };
});

export const serverArea: Area = {
  title: "What the server says of itself",
  cases: [
    {
      name: "whether it lives and is ready is said to anybody",
      steps: [
        { call: "ServerLive", as: "nobody", answer: { live: true } },
        { call: "ServerReady", as: "nobody", answer: { ready: true } },
      ],
    },
    {
      name: "the server's extensions are those that it has",
      steps: [{ call: "ServerMetadata", answer: { name: "signet", extensions } }],
      deviation: "Triton lists `sequence` and `cuda_shared_memory` too; Signet has neither, so clients do not try.",
    },
    {
      name: "a service is ready by its name, and by its name and version",
      steps: [
        { call: "ModelReady", request: { name: "matrix" }, answer: { ready: true } },
        { call: "ModelReady", request: { name: "matrix", version: "7" }, answer: { ready: true } },
      ],
    },
    ...[
      { what: "name", request: { name: "nothing" } },
      { what: "version", request: { name: "matrix", version: "8" } },
      { what: "name that objects have anyway", request: { name: "__proto__" } },
    ].map(
      ({ what, request }): ConformanceCase => ({
        name: `a service of another ${what} is not there`,
        steps: [
          { call: "ModelMetadata", request, fails: notFound },
          { call: "ModelConfig", request, fails: notFound },
          { call: "ModelStatistics", request, fails: notFound },
        ],
      }),
    ),
    ...describedServices,
    {
      name: "a service that does not batch has a maximum batch of 0 and the same shapes in both places",
      steps: [
        {
          call: "ModelConfig",
          request: { name: "matrix" },
          answer: {
            config: {
              ...{ name: "matrix", platform: "signet_identity", backend: "identity", max_batch_size: 0 },
              version_policy: { specific: { versions: ["7"] } },
              input: [{ name: "input", data_type: "TYPE_FP32", dims: ["-1", "3"] }],
              instance_group: [{ name: "matrix", count: 3, kind: "KIND_CPU" }],
              parameters: { mean: { string_value: "0.5" } },
              model_transaction_policy: { decoupled: false },
            },
          },
        },
        {
          call: "ModelMetadata",
          request: { name: "matrix" },
          answer: { versions: ["7"], inputs: [{ name: "input", shape: ["-1", "3"] }] },
        },
      ],
    },
    {
      name: "a service that batches has its maximum, and the batch dimension in the metadata only",
      steps: [
        {
          call: "ModelConfig",
          request: { name: "rows" },
          answer: {
            config: {
              max_batch_size: 4,
              input: [{ name: "input", data_type: "TYPE_FP32", dims: ["3"] }],
              output: [{ name: "output", data_type: "TYPE_FP32", dims: ["3"] }],
            },
          },
        },
        {
          call: "ModelMetadata",
          request: { name: "rows" },
          answer: { inputs: [{ shape: ["-1", "3"] }], outputs: [{ shape: ["-1", "3"] }] },
        },
      ],
    },
    {
      name: "statistics count an inference",
      steps: [
        { call: "ModelInfer", request: good },
        {
          call: "ModelStatistics",
          request: { name: "matrix" },
          answer: { model_stats: [{ name: "matrix", version: "7" }] },
        },
      ],
    },
    {
      name: "a call without a token, or with one that is not known, is refused",
      steps: [
        { call: "ServerMetadata", as: "nobody", fails: unauthenticated },
        { call: "ModelInfer", as: "nobody", request: good, fails: unauthenticated },
        { call: "ModelInfer", as: "stranger", request: good, fails: unauthenticated },
      ],
      deviation: "Triton knows no callers; here only `ServerLive`, `ServerReady` and health need no token.",
    },
    {
      name: "a caller without the role or the grant is refused",
      steps: [
        { call: "ServerMetadata", as: "viewer", answer: { name: "signet" } },
        { call: "ModelInfer", as: "viewer", request: good, fails: denied },
        { call: "ModelInfer", as: "limited", request: good, fails: denied },
        { call: "RepositoryModelUnload", request: { model_name: "matrix" }, fails: denied },
        { call: "LogSettings", request: { settings: {} }, fails: denied },
        { call: "TraceSetting", request: { settings: {} }, fails: denied },
      ],
    },
  ],
};
