import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import { addToken, type Role, readTokens, removeToken } from "../../src/service/index.ts";
import { attacksOn, observed } from "../helpers/attack.ts";
import { failureOf } from "../helpers/bare-client.ts";
import { type JobClient, useJobClient } from "../helpers/job-client.ts";
import { faultyService, identityService, type ServingHost, useServer } from "../helpers/licensed-host.ts";
import { faultyRequest } from "../helpers/runner.ts";

/** Callers who are let in, and use what they may do with jobs against the server and against each other. */

const attack = attacksOn("the server's time and memory");

const longJob = (terms: object = {}) => ({ request: faultyRequest("wait", 600_000), ...terms });

async function useCaller({ data, server }: ServingHost, name: string, role: Role = "client"): Promise<JobClient> {
  const { token } = await addToken(data.accessFile, { name, role, services: "all", expires: null });
  const client = useJobClient(server.address, token.reveal());
  await vi.waitFor(() => client.call("ListJobs", {}), { timeout: 10_000 });
  return client;
}

describe("attacks through jobs", () => {
  test("asks for jobs by a thousand labels", attack("a statement of SQL for each number of labels"), async () => {
    const host = await useServer([faultyService]);
    const viewer = await useCaller(host, "viewer", "viewer");
    const labels = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`label-${index}`, ""]));
    expect(await failureOf(viewer.call("ListJobs", { labels }))).toMatchObject({ code: "REQUEST_MALFORMED" });
  });

  test(
    "keeps the store busy until another's running job is given up",
    attack("more questions at once than it answers while a lease lasts"),
    async () => {
      const host = await useServer([{ ...faultyService, limits: { concurrency: 1 } }], { jobs: { leaseMs: 3000 } });
      const victim = await useCaller(host, "victim");
      const [job] = await victim.submit(longJob());
      await vi.waitFor(async () => expect((await victim.status(job!.job_id)).state).toBe("JOB_STATE_RUNNING"), {
        timeout: 20_000,
      });

      const attacker = await useCaller(host, "attacker");
      const labels = Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`label-${index}`, "x"]));
      for (let thousands = 0; thousands < 3; thousands++) {
        await attacker.submit(...Array.from({ length: 1000 }, () => longJob({ labels })));
      }
      // Each looks at all labels of all these jobs, and finds nothing.
      const question = { labels: { ...labels, "label-15": "y" } };
      await Promise.all(Array.from({ length: 500 }, () => attacker.call("ListJobs", question, 60_000)));
      await sleep(2000); // the time of a sweep

      expect(await victim.status(job!.job_id)).toMatchObject({ state: "JOB_STATE_RUNNING", attempts: 1, error: null });
      observed("the job runs on");
      await victim.call("CancelJob", { job_id: job!.job_id });
    },
  );

  test("names ten thousand artifacts as the inputs of one job", attack("a file looked for for each name"), async () => {
    const host = await useServer([identityService]);
    const client = useJobClient(host.server.address, host.token);
    const artifact = { name: "input", sha256: "a".repeat(64) };
    const job = {
      request: { model_name: "identity" },
      artifact_inputs: Array.from({ length: 10_000 }, () => artifact),
    };
    expect(await failureOf(client.submit(job))).toMatchObject({ code: "REQUEST_MALFORMED" });
  });

  test("begins two hundred uploads and ends none", attack("a file open for each"), async () => {
    const host = await useServer([identityService]);
    const attacker = await useCaller(host, "attacker");
    const uploads = Array.from({ length: 200 }, () => attacker.beginUpload());
    for (const upload of uploads) upload.send(Buffer.from("a"));
    const refused: unknown[] = [];
    for (const { ended } of uploads) void failureOf(ended).then(({ code }) => refused.push(code));
    await vi.waitFor(() => expect(refused).toHaveLength(200 - 64), { timeout: 10_000 });
    expect(new Set(refused)).toEqual(new Set(["TOO_MANY_CALLS"]));
    // Others have theirs.
    const other = useJobClient(host.server.address, host.token);
    expect(await other.upload([{ chunk: Buffer.from("abc") }])).toMatchObject({ byte_size: 3 });
    for (const upload of uploads) upload.cancel();
  });

  test("goes on with an upload after the token was taken away", attack("a stream from before"), async () => {
    const host = await useServer([identityService]);
    const attacker = await useCaller(host, "attacker");
    const upload = attacker.beginUpload();
    upload.send(Buffer.from("a"));
    const { id } = readTokens(host.data.accessFile).find(({ name }) => name === "attacker")!;
    await removeToken(host.data.accessFile, id);
    await vi.waitFor(() => failureOf(attacker.call("ListJobs", {})), { timeout: 10_000 });
    upload.send(Buffer.from("b"));
    expect(await failureOf(upload.ended)).toMatchObject({ code: "UNAUTHENTICATED" });
  });

  test("submits forty thousand jobs with labels at once", attack("requests that wait in memory"), async () => {
    const host = await useServer([faultyService]);
    const attacker = await useCaller(host, "attacker");
    const labels = Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`label-${index}`, "x"]));
    const jobs = Array.from({ length: 1000 }, () => longJob({ labels, timeout_ms: 1000 }));
    const calls = await Promise.allSettled(Array.from({ length: 40 }, () => attacker.submit(...jobs)));
    const refused = calls.flatMap((call) => (call.status === "rejected" ? [call.reason] : []));
    expect(refused.length).toBeGreaterThan(0);
    for (const error of refused.slice(0, 1)) {
      expect(await failureOf(Promise.reject(error))).toMatchObject({ code: "TOO_MANY_CALLS" });
    }
  });

  test("writes what a database cannot take", attack("U+0000 in texts"), async () => {
    const host = await useServer([faultyService]);
    const client = useJobClient(host.server.address, host.token);
    const malformed = expect.objectContaining({ code: "REQUEST_MALFORMED" });
    expect(await failureOf(client.submit(longJob({ labels: { a: "b\0" } })))).toEqual(malformed);
    expect(await failureOf(client.submit(longJob({ idempotency_key: "\0" })))).toEqual(malformed);
    expect(await failureOf(client.call("ListJobs", { model_name: "a\0" }))).toEqual(malformed);
  });
});
