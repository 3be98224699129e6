import { z } from "zod";
import { grpcSettings, holdsLargestMessage, MEMORY_EXPECTATION } from "./grpc-settings.ts";
import { jobSettings } from "./jobs.ts";
import { findListen, LISTEN_EXPECTATION } from "./listen.ts";
import { logKeeping } from "./logs.ts";
import { needsSchema } from "./needs.ts";
import { isOrigin, ORIGIN_EXPECTATION } from "./origin.ts";
import { batching, durationMs, priorities, queueFields } from "./scheduling.ts";
import { warmUpRequests } from "./warm-up.ts";

/**
 * The server's configuration: one schema, strict, with a default and a description for every key.
 * docs/reference/config.md is generated from it.
 */

const serviceFields = {
  admission: z
    .enum(["queue", "reject"])
    .describe(
      "What happens to a call while all licensed jobs of the service are running: `queue` lets it wait, `reject` answers at once.",
    ),
  ...queueFields,
  priorities: priorities.describe("How calls are told apart by their parameter `priority`."),
  batching: batching.describe(
    "How calls to a service that its vendor made to be batched (`maxBatchSize` in its license) run together.",
  ),
  slotMiB: z
    .int()
    .min(1)
    .max(4096)
    .describe("Shared memory of one job for its inputs and outputs together, in MiB: what one call can carry."),
  memoryLimitMiB: z
    .int()
    .min(64)
    .max(16 * 1024 * 1024)
    .describe("Resident memory of the service's process, in MiB; beyond it the process is restarted."),
  cancelGraceMs: durationMs.describe(
    "How long a plugin may take to stop after its call was cancelled, in milliseconds; then its process is restarted.",
  ),
  startTimeoutMs: durationMs.min(1).describe("How long a plugin may take to load its model, in milliseconds."),
  sandbox: z
    .enum(["seccomp", "bwrap", "none"])
    .describe(
      "`seccomp` keeps the service's process from the network, other processes and files it does not need; `bwrap` does the same a second time with bubblewrap, in name spaces where none of that is there; `none` is for a plugin that you trust with all of that.",
    ),
  quarantineAfter: z
    .int()
    .min(0)
    .max(1_000_000)
    .describe(
      "Ends of the service's process in a row, with no job that succeeded between them, after which it is not started again until somebody releases the service; 0 for never.",
    ),
  stuckAfterMs: durationMs.describe(
    "How long a running job of a plugin that declares progress may leave its heartbeat still before it is ended like one that was cancelled, in milliseconds; 0 for ever.",
  ),
  callTimeoutMs: durationMs
    .min(1)
    .describe(
      "Deadline of a call where the client sets none, in milliseconds; the job time that the license allows comes on top.",
    ),
  responseCache: z
    .boolean()
    .describe(
      "Answers a call with the same inputs as an earlier one with what the service answered then. Only for services whose answers depend on nothing but their inputs.",
    ),
  needs: needsSchema.describe(
    "What the service's process takes of this host, which is kept for it: any of `gpus`, `gpuMemoryMiB` (of each GPU), `cpuCores` and `memoryMiB`; what is left out is as its license says, and nothing where that says nothing. A service for which there is no room waits for it.",
  ),
  idleUnloadMs: durationMs.describe(
    "After how long without a call the service's process ends and gives back what was kept for it, in milliseconds; the next call starts it again, and waits for that. Where another service waits for its place, a second is enough. 0 keeps it for ever.",
  ),
  warmup: warmUpRequests.describe(
    "Requests that the service's process runs, in this order, before it takes calls. Nothing is charged for them.",
  ),
};

export type ServiceSettings = Readonly<z.infer<z.ZodObject<typeof serviceFields>>>;

const serviceDefaults: ServiceSettings = {
  admission: "queue",
  maxQueue: 64,
  queueTimeoutMs: null,
  queueTimeoutAction: "reject",
  allowTimeoutOverride: true,
  priorities: priorities.parse({}),
  batching: batching.parse({}),
  slotMiB: 64,
  memoryLimitMiB: 4096,
  cancelGraceMs: 2000,
  startTimeoutMs: 60_000,
  sandbox: "seccomp",
  quarantineAfter: 5,
  stuckAfterMs: 120_000,
  callTimeoutMs: 60_000,
  responseCache: false,
  needs: {},
  idleUnloadMs: 0,
  warmup: [],
};

const settings = z.strictObject({
  admission: serviceFields.admission.default(serviceDefaults.admission),
  maxQueue: serviceFields.maxQueue.default(serviceDefaults.maxQueue),
  queueTimeoutMs: serviceFields.queueTimeoutMs.default(serviceDefaults.queueTimeoutMs),
  queueTimeoutAction: serviceFields.queueTimeoutAction.default(serviceDefaults.queueTimeoutAction),
  allowTimeoutOverride: serviceFields.allowTimeoutOverride.default(serviceDefaults.allowTimeoutOverride),
  priorities: serviceFields.priorities.prefault({}),
  batching: serviceFields.batching.prefault({}),
  slotMiB: serviceFields.slotMiB.default(serviceDefaults.slotMiB),
  memoryLimitMiB: serviceFields.memoryLimitMiB.default(serviceDefaults.memoryLimitMiB),
  cancelGraceMs: serviceFields.cancelGraceMs.default(serviceDefaults.cancelGraceMs),
  startTimeoutMs: serviceFields.startTimeoutMs.default(serviceDefaults.startTimeoutMs),
  sandbox: serviceFields.sandbox.default(serviceDefaults.sandbox),
  quarantineAfter: serviceFields.quarantineAfter.default(serviceDefaults.quarantineAfter),
  stuckAfterMs: serviceFields.stuckAfterMs.default(serviceDefaults.stuckAfterMs),
  callTimeoutMs: serviceFields.callTimeoutMs.default(serviceDefaults.callTimeoutMs),
  responseCache: serviceFields.responseCache.default(serviceDefaults.responseCache),
  needs: serviceFields.needs.prefault({}),
  idleUnloadMs: serviceFields.idleUnloadMs.default(serviceDefaults.idleUnloadMs),
  warmup: serviceFields.warmup.prefault([]),
});

export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export const logFormats = ["auto", "json", "pretty"] as const;

const configFields = z.strictObject({
  listen: z
    .string()
    .refine((text) => findListen(text) !== undefined, LISTEN_EXPECTATION)
    .default("127.0.0.1:8001")
    .describe("Where gRPC listens: `ADDRESS:PORT` or `[IPv6]:PORT`."),
  insecure: z
    .boolean()
    .default(false)
    .describe("Allows plaintext on an address that other machines can reach, for a TLS proxy in front."),
  tls: z
    .strictObject({
      cert: z
        .string()
        .min(1)
        .describe("The server's certificate chain, a PEM file; relative to the configuration file."),
      key: z.string().min(1).describe("The certificate's private key, a PEM file; relative to the configuration file."),
      clientCa: z
        .string()
        .min(1)
        .nullable()
        .default(null)
        .describe(
          "CA certificates, a PEM file: clients may then present a certificate that one of them signed, instead of a token.",
        ),
      requireClientCertificate: z
        .boolean()
        .default(false)
        .describe("Refuses connections without a client certificate that `clientCa` signed, whatever token they have."),
    })
    .refine(({ clientCa, requireClientCertificate }) => !requireClientCertificate || clientCa !== null, {
      path: ["requireClientCertificate"],
      message: "expected clientCa beside it",
    })
    .optional()
    .describe("Turns on TLS. The files are read again when they change."),
  transport: z
    .enum(["signet", "node"])
    .default("signet")
    .describe(
      "Whose HTTP/2 gRPC runs on: `signet` is Signet's, which is faster and bounds more of what a client can cost; `node` is Node's own. Clients see no difference.",
    ),
  reflection: z
    .boolean()
    .default(false)
    .describe(
      "Tells clients with a token over gRPC what there is to call (`grpc.reflection.v1` and `v1alpha`), for tools such as grpcurl.",
    ),
  grpc: grpcSettings.prefault({}).describe("What clients of the gRPC listener may have of it."),
  http: z
    .strictObject({
      listen: z
        .string()
        .refine((text) => findListen(text) !== undefined, LISTEN_EXPECTATION)
        .default("127.0.0.1:8000")
        .describe("Where REST and gRPC-Web listen: `ADDRESS:PORT` or `[IPv6]:PORT`; the rules are those of `listen`."),
      origins: z
        .array(z.string().refine(isOrigin, ORIGIN_EXPECTATION))
        .max(1000)
        .default([])
        .describe(
          "Origins whose pages may call from a browser (CORS), such as `https://app.example`; pages of others are refused.",
        ),
    })
    .optional()
    .describe(
      "Turns on the REST form of the protocol and gRPC-Web, on a port of their own, with the TLS, tokens and limits of gRPC. `http: {}` takes the defaults.",
    ),
  metrics: z
    .strictObject({
      listen: z
        .string()
        .refine((text) => findListen(text) !== undefined, LISTEN_EXPECTATION)
        .default("127.0.0.1:8002")
        .describe(
          "Where metrics are: `ADDRESS:PORT` or `[IPv6]:PORT`; the rules are those of `listen`. On a loopback address they need no token, elsewhere one of a `viewer`.",
        ),
    })
    .optional()
    .describe("Turns on `GET /metrics` for Prometheus, on a port of its own. `metrics: {}` takes the defaults."),
  maxMessageMiB: z
    .int()
    .min(1)
    .max(2047)
    .default(64)
    .describe("The largest gRPC message or REST body that is accepted, in MiB, after decompression."),
  sharedMemory: z
    .boolean()
    .default(false)
    .describe(
      "Lets clients on this machine put tensors into shared memory (/dev/shm) that their user owns, instead of messages.",
    ),
  responseCacheMiB: z
    .int()
    .min(1)
    .max(1024 * 1024)
    .default(256)
    .describe(
      "What the answers that are kept for services with `responseCache`, and the requests they belong to, may take of memory together, in MiB.",
    ),
  jobs: jobSettings
    .prefault({})
    .describe("Jobs that are submitted, run when there is room, and are found again with their results."),
  traceDir: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      "Where timestamps of calls are written while an operator traces them, a directory that is made if need be; relative to the configuration file. null allows no traces.",
    ),
  drainMs: durationMs
    .default(30_000) // systemd's default stop timeout is 90 s
    .describe("How long running jobs may take to end when the server stops, in milliseconds."),
  log: z
    .strictObject({
      level: z.enum(logLevels).default("info").describe("The least severe lines that are written."),
      format: z
        .enum(logFormats)
        .default("auto")
        .describe("`json` for machines, `pretty` for people; `auto` is pretty on a terminal."),
    })
    .prefault({})
    .describe("The log, written to stderr."),
  logs: logKeeping.prefault({}).describe("The files below `log/` in the data directory that `signet logs` reads."),
  defaults: settings.prefault({}).describe("Settings of every service."),
  services: z
    .record(z.string().min(1).max(128), z.strictObject(serviceFields).partial())
    .default({})
    .describe("Settings of single services, by name; what is left out comes from `defaults`."),
});

export const configSchema = configFields
  .refine((config) => holdsLargestMessage(config, "requestMemoryMiB"), {
    path: ["grpc", "requestMemoryMiB"],
    message: MEMORY_EXPECTATION,
  })
  .refine((config) => holdsLargestMessage(config, "requestMemoryPerConnectionMiB"), {
    path: ["grpc", "requestMemoryPerConnectionMiB"],
    message: MEMORY_EXPECTATION,
  });

/** Complete and frozen. */
export type ServerConfig = Readonly<z.infer<typeof configSchema>>;
/** What an operator may write. */
export type ConfigInput = z.input<typeof configSchema>;

/** The complete settings of one service. */
export function serviceSettings(config: ServerConfig, service: string): ServiceSettings {
  const own = Object.hasOwn(config.services, service) ? config.services[service] : {};
  return Object.freeze({ ...config.defaults, ...own } as ServiceSettings);
}

/** The services that have settings and no license, mostly because their name is mistyped. */
export function unlicensedSettings(
  { services }: ServerConfig,
  licensed: readonly { readonly conf: { readonly name: string } }[],
): string[] {
  return Object.keys(services).filter((name) => !licensed.some(({ conf }) => conf.name === name));
}
