import type { InferenceClient } from "../src/grpc/index.ts";
import type { Tensor } from "../src/tensor/index.ts";
import { cpuTimeUs } from "./host.ts";

export interface LoadResult {
  readonly p50Us: number;
  readonly p99Us: number;
  readonly perSecond: number;
  /** CPU of the measured process per request, microseconds. */
  readonly cpuUs: number;
}

/** Keeps `inFlight` calls running until `count` have been answered, after a warm-up, and measures them. */
export async function measureLoad(
  client: InferenceClient,
  pid: number,
  call: { service: string; inputs: readonly Tensor[] },
  { inFlight, count }: { inFlight: number; count: number },
): Promise<LoadResult> {
  await runCalls(Math.ceil(count / 4));
  const cpuBefore = cpuTimeUs(pid);
  const startedMs = performance.now();
  const latencies = await runCalls(count);
  const tookMs = performance.now() - startedMs;
  latencies.sort((a, b) => a - b);
  return {
    p50Us: Math.round(latencies[Math.floor(count * 0.5)]! * 1000),
    p99Us: Math.round(latencies[Math.floor(count * 0.99)]! * 1000),
    perSecond: Math.round((count / tookMs) * 1000),
    cpuUs: Math.round((cpuTimeUs(pid) - cpuBefore) / count),
  };

  async function runCalls(total: number): Promise<number[]> {
    const latencies: number[] = [];
    let left = total;
    const worker = async () => {
      while (left-- > 0) {
        const sentMs = performance.now();
        await client.infer(call.service, call.inputs);
        latencies.push(performance.now() - sentMs);
      }
    };
    await Promise.all(Array.from({ length: inFlight }, worker));
    return latencies;
  }
}
