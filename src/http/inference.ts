import {
  modelConfig,
  modelMetadata,
  modelStatistics,
  type ServedParts,
  type Service,
  serverMetadata,
} from "../service/index.ts";
import { Answer, type Call, type Route } from "./call.ts";
import { generate, generateRequestSchema, generateStream } from "./generate.ts";
import { infer } from "./infer.ts";
import { repositoryRoutes } from "./repository.ts";
import { settingsRoutes } from "./settings.ts";
import { sharedMemoryRoutes } from "./shared-memory.ts";
import { inferRequestSchema } from "./tensors.ts";

export interface InferenceEdge extends ServedParts {
  readonly maxMessageBytes: number;
}

/** The calls of the v2 protocol's REST form: decode, ask the service, encode. */
export function inferenceRoutes(edge: InferenceEdge): Route[] {
  const { inference, sharedMemory, version, isReady } = edge;
  /** Finds a service for a caller who may see it. */
  const find = (call: Call): Service => {
    call.identity.require("metadata");
    return inference.find(call.part("model"), call.part("version"));
  };
  const statistics = (services: readonly Service[]) => ({
    model_stats: services.map((service) => modelStatistics(service, inference.statisticsOf(service))),
  });
  return [
    // Open to all: a load balancer has no token, and the answer says nothing else.
    {
      method: "GET",
      path: "/v2/health/live",
      summary: "Whether the server runs.",
      isOpen: true,
      answer: async () => ({ live: true }),
    },
    {
      method: "GET",
      path: "/v2/health/ready",
      summary: "Whether the server takes calls and every service is ready: status 200, or 503.",
      isOpen: true,
      answer: async () => readiness({ ready: isReady() }),
    },
    {
      method: "GET",
      path: "/v2",
      summary: "What the server is and can do.",
      answer: async (call) => {
        call.identity.require("metadata");
        return serverMetadata(version, sharedMemory);
      },
    },
    ...ofModel({
      method: "GET",
      path: "",
      summary: "A service's tensors.",
      answer: async (call) => modelMetadata(find(call)),
    }),
    ...ofModel({
      method: "GET",
      path: "/ready",
      summary: "Whether a service takes calls: status 200, or 503.",
      answer: async (call) => {
        const { conf, runner } = find(call);
        return readiness({ name: conf.name, ready: runner.isServing });
      },
    }),
    ...ofModel({
      method: "GET",
      path: "/config",
      summary: "A service's configuration, as Triton's clients want it.",
      answer: async (call) => modelConfig(find(call)),
    }),
    {
      method: "GET",
      path: "/v2/models/stats",
      summary: "What every service has done.",
      answer: async ({ identity }) => {
        identity.require("metadata");
        return statistics(inference.services);
      },
    },
    ...ofModel({
      method: "GET",
      path: "/stats",
      summary: "What a service has done.",
      answer: async (call) => statistics([find(call)]),
    }),
    ...ofModel({
      method: "POST",
      path: "/infer",
      summary: "Runs a service once: JSON, or JSON with binary data behind it.",
      maxBodyBytes: edge.maxMessageBytes,
      body: inferRequestSchema,
      answer: (call) => infer(inference, call),
    }),
    ...ofModel({
      method: "POST",
      path: "/generate",
      summary: "Runs a service once, with plain values by name instead of tensors.",
      maxBodyBytes: edge.maxMessageBytes,
      body: generateRequestSchema,
      answer: (call) => generate(inference, call),
    }),
    ...ofModel({
      method: "POST",
      path: "/generate_stream",
      summary: "The same, answered with server-sent events.",
      maxBodyBytes: edge.maxMessageBytes,
      body: generateRequestSchema,
      answerType: "text/event-stream",
      answer: (call) => generateStream(inference, call),
    }),
    ...repositoryRoutes(edge.repository),
    ...settingsRoutes(edge),
    ...sharedMemoryRoutes(sharedMemory),
  ];
}

/** A route below a service, and the same below a version of it. */
function ofModel(route: Route): Route[] {
  return ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"].map((base) => ({
    ...route,
    path: base + route.path,
  }));
}

/** Probes look at the status and not at the body. */
function readiness(body: { readonly ready: boolean; readonly name?: string }): Answer {
  return new Answer(body.ready ? 200 : 503, body);
}
