import { setTimeout as sleep } from "node:timers/promises";
import { type ErrorCode, SignetError } from "../../../errors.ts";
import type { JobsClient, JobUpdate } from "../../../grpc/index.ts";

const PAUSE_MS = 500;
/** What a server says that stops, and what is found where it is started again. */
const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["UNREACHABLE", "SHUTTING_DOWN", "STORE_UNAVAILABLE"]);

/**
 * What happens to a job until it has ended, over connections that break and servers that are started again: each time it
 * goes on where it was.
 * @param patienceMs how long a server that was there may be gone
 * @param note is told when it is gone and when it is there again
 */
export async function* followJob(
  client: JobsClient,
  jobId: string,
  patienceMs: number,
  note: (text: string) => void,
): AsyncGenerator<JobUpdate> {
  let seq = 0;
  let heardMs = Number.NEGATIVE_INFINITY;
  let isGone = false;
  for (;;) {
    try {
      for await (const update of client.watch(jobId, seq)) {
        heardMs = performance.now();
        if (isGone) note("The server is there again.");
        isGone = false;
        if (update.event !== null) seq = update.event.seq;
        yield update;
      }
      return;
    } catch (thrown) {
      const error = SignetError.from(thrown);
      if (!passing.has(error.code) || performance.now() - heardMs > patienceMs) throw error;
      if (!isGone) note(`${error.code}: ${error.message}. The job goes on without it being watched; trying again.`);
      isGone = true;
      await sleep(PAUSE_MS);
    }
  }
}
