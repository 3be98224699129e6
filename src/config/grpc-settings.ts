import { z } from "zod";
import { durationMs } from "./scheduling.ts";

const memoryMiB = z
  .int()
  .min(1)
  .max(16 * 1024 * 1024)
  .nullable()
  .default(null);

/** What clients of the gRPC listener may have of it; the names are those of gRPC's own settings where it has them. */
export const grpcSettings = z.strictObject({
  maxConnections: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(4096)
    .describe("Connections at a time; one more is told so, as far as HTTP/2 can, and closed."),
  keepaliveTimeMs: durationMs
    .default(60_000)
    .describe(
      "Silence after which a client is asked whether it is still there, in milliseconds; 0 never asks. With `transport: node` also clients that are not silent are asked.",
    ),
  keepaliveTimeoutMs: durationMs
    .min(1)
    .default(20_000)
    .describe("How long the answer to that may take before the connection is closed, in milliseconds."),
  maxConnectionIdleMs: durationMs
    .default(0)
    .describe("A connection without a call for so long is asked to leave, in milliseconds; 0 keeps it."),
  maxConnectionAgeMs: durationMs
    .default(0)
    .describe(
      "A connection that has lived so long, give or take a tenth, is asked to leave when its calls have ended, in milliseconds; 0 keeps it. For load balancing.",
    ),
  requestMemoryMiB: memoryMiB.describe(
    "What requests of all connections together, and answers that clients have not taken, may take of memory, in MiB; a request that does not fit is refused with RESOURCE_EXHAUSTED. null is twice what one connection may. With `transport: node` only inferences count.",
  ),
  requestMemoryPerConnectionMiB: memoryMiB.describe(
    "The same of one connection; null is 512, or three times `maxMessageMiB` where that is more.",
  ),
});

type GrpcSettings = z.infer<typeof grpcSettings>;

/** Complete, and in the units of the code. */
export interface GrpcLimits extends Readonly<Omit<GrpcSettings, "requestMemoryMiB" | "requestMemoryPerConnectionMiB">> {
  readonly requestBytes: number;
  readonly requestBytesPerConnection: number;
}

interface Sized {
  readonly maxMessageMiB: number;
  readonly grpc: GrpcSettings;
}

const DEFAULT_PER_CONNECTION_MIB = 512;
/** A message that grows while it comes is there twice for a moment, in steps that double. */
const MESSAGES = 3;

/** What the memory of requests must be, in words. */
export const MEMORY_EXPECTATION = "expected three times maxMessageMiB or more, or the largest message could not come";

export function holdsLargestMessage(
  { maxMessageMiB, grpc }: Sized,
  key: `requestMemory${string}` & keyof GrpcSettings,
) {
  const memory = grpc[key];
  return memory === null || memory >= MESSAGES * maxMessageMiB;
}

export function resolveGrpcLimits({ maxMessageMiB, grpc }: Sized): GrpcLimits {
  const { requestMemoryMiB, requestMemoryPerConnectionMiB, ...limits } = grpc;
  const ofOne = requestMemoryPerConnectionMiB ?? Math.max(DEFAULT_PER_CONNECTION_MIB, MESSAGES * maxMessageMiB);
  const ofAll = requestMemoryMiB ?? 2 * ofOne;
  return { ...limits, requestBytes: ofAll * 2 ** 20, requestBytesPerConnection: ofOne * 2 ** 20 };
}
