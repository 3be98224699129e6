import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { parseConfig } from "../../src/config/index.ts";
import { startServer } from "../../src/server.ts";
import { addToken, type Role } from "../../src/service/index.ts";
import { createLog } from "../../src/telemetry/index.ts";
import { failureOf } from "../helpers/bare-client.ts";
import { type JobChange, type JobClient, useJobClient } from "../helpers/job-client.ts";
import { faultyService, identityService, startLicensedServer, useServer } from "../helpers/licensed-host.ts";
import { faultyRequest } from "../helpers/runner.ts";
import { transportUnderTest } from "../helpers/transport.ts";

const identityJob = (bytes: Uint8Array, terms: object = {}) => ({
  request: {
    model_name: "identity",
    inputs: [{ name: "input", datatype: "UINT8", shape: [bytes.byteLength] }],
    raw_input_contents: [bytes],
  },
  ...terms,
});
const faultyJob = (mode: string, amount = 1, terms: object = {}) => ({
  request: faultyRequest(mode, amount),
  ...terms,
});

/** For a service that starts again first, on a busy machine. */
const patience = { timeout: 20_000 };

let host: Awaited<ReturnType<typeof startLicensedServer>>;

beforeAll(async () => {
  host = await startLicensedServer([
    { ...identityService, limits: { concurrency: 2 } },
    { ...faultyService, limits: { concurrency: 1 } },
  ]);
});

afterAll(async () => {
  await host?.end();
});

const useClient = () => useJobClient(host.server.address, host.token);

async function useOther(role: Role, name: string, services: "all" | string[] = "all"): Promise<JobClient> {
  const { token } = await addToken(host.data.accessFile, { name, role, services, expires: null });
  const client = useJobClient(host.server.address, token.reveal());
  await vi.waitFor(() => client.call("ListJobs", {}), { timeout: 10_000 });
  return client;
}

describe("a job", () => {
  test("is accepted, runs, and has its result", async () => {
    const client = useClient();
    const bytes = Buffer.from("some bytes");
    const [submitted] = await client.submit(identityJob(bytes));
    expect(submitted).toMatchObject({ state: "JOB_STATE_QUEUED", model_name: "identity", client: "test" });
    const changes = await client.watch(submitted!.job_id);
    expect(changes[0]!.event).toBeNull();
    expect(changes.flatMap(({ event }) => (event ? [event.type] : []))).toEqual(["submitted", "claimed", "succeeded"]);
    expect(changes.at(-1)!.status).toMatchObject({ state: "JOB_STATE_SUCCEEDED", attempts: 1, error: null });
    const result = await client.result(submitted!.job_id);
    expect(result.outputs).toMatchObject([{ name: "output", datatype: "UINT8", shape: [10], byte_size: 10 }]);
    expect(result.bytes).toEqual(bytes);
  });

  test("of many megabytes goes through files and comes back whole", async () => {
    const client = useClient();
    const bytes = Buffer.alloc(5_000_000, "0123456789abcdef!");
    const [job] = await client.submit(identityJob(bytes));
    await client.ended(job!.job_id);
    const { bytes: found } = await client.result(job!.job_id);
    expect(found.equals(bytes)).toBe(true);
  });

  test("tells how far it is while it runs, and ends when it is cancelled", async () => {
    const client = useClient();
    const [job] = await client.submit(faultyJob("wait", 60_000));
    let seen = 0;
    for await (const { status } of client.stream<{
      status: { state: string; progress_permille: number; stage: number };
    }>("WatchJob", { job_id: job!.job_id })) {
      if (status.progress_permille === 0) continue;
      seen = status.progress_permille;
      expect(status).toMatchObject({ state: "JOB_STATE_RUNNING", stage: 1 });
      break;
    }
    expect(seen).toBeGreaterThan(0);
    expect((await client.status(job!.job_id)).remaining_ms).toBeGreaterThan(0);
    await client.call("CancelJob", { job_id: job!.job_id });
    expect(await client.ended(job!.job_id)).toMatchObject({ state: "JOB_STATE_CANCELLED", attempts: 1 });
    expect(await failureOf(client.result(job!.job_id))).toMatchObject({ code: "JOB_NOT_DONE" });
  });

  test("that waits says for what, and is cancelled at once", async () => {
    const client = useClient();
    const [first, second, third] = await client.submit(
      ...[faultyJob("wait", 60_000), faultyJob("ok", 1), faultyJob("ok", 2)],
    );
    await vi.waitFor(
      async () => expect((await client.status(first!.job_id)).state).toBe("JOB_STATE_RUNNING"),
      patience,
    );
    expect((await client.status(third!.job_id)).waits_for).toBe("1 job of faulty that comes first");
    await client.call("CancelJob", { job_id: third!.job_id });
    expect(await client.status(third!.job_id)).toMatchObject({ state: "JOB_STATE_CANCELLED", attempts: 0 });
    await client.call("CancelJob", { job_id: first!.job_id });
    expect((await client.ended(second!.job_id)).state).toBe("JOB_STATE_SUCCEEDED");
  });

  test("that its plugin refuses fails, with the reason", async () => {
    const client = useClient();
    const [job] = await client.submit(faultyJob("fail"));
    expect(await client.ended(job!.job_id)).toMatchObject({
      state: "JOB_STATE_FAILED",
      attempts: 1,
      error: { code: "PLUGIN_FAILED" },
    });
  });

  test("that crashes its process is tried again, and not for ever", async () => {
    const client = useClient();
    const [job] = await client.submit(faultyJob("segv"));
    expect(await client.ended(job!.job_id)).toMatchObject({
      state: "JOB_STATE_FAILED",
      attempts: 3,
      error: { code: "SERVICE_CRASHED" },
    });
  });

  test("whose time is over fails, whether it waits or runs", async () => {
    const client = useClient();
    const [running] = await client.submit(faultyJob("wait", 60_000, { timeout_ms: 8000 }));
    await vi.waitFor(
      async () => expect((await client.status(running!.job_id)).state).toBe("JOB_STATE_RUNNING"),
      patience,
    );
    const [waiting] = await client.submit(faultyJob("ok", 1, { timeout_ms: 200 }));
    for (const job of [running, waiting]) {
      expect(await client.ended(job!.job_id)).toMatchObject({
        state: "JOB_STATE_FAILED",
        error: { code: "DEADLINE_EXCEEDED" },
      });
    }
  });

  test("with a key is the same job when it is sent again, and another request with that key is refused", async () => {
    const client = useClient();
    const terms = { idempotency_key: "a key" };
    const [job] = await client.submit(identityJob(Buffer.of(1), terms));
    const [again] = await client.submit(identityJob(Buffer.of(1), terms));
    expect(again!.job_id).toBe(job!.job_id);
    expect(await failureOf(client.submit(identityJob(Buffer.of(2), terms)))).toMatchObject({ code: "JOB_KEY_REUSED" });
  });

  test("has a report for people", async () => {
    const client = useClient();
    const [job] = await client.submit(identityJob(Buffer.of(1, 2), { labels: { batch: "7" } }));
    await client.ended(job!.job_id);
    const { report } = await client.call<{ report: string }>("GetStatus", { job_id: job!.job_id, report: true });
    expect(JSON.parse(report)).toMatchObject({
      job: job!.job_id,
      state: "succeeded",
      labels: { batch: "7" },
      inputs: [{ name: "input", datatype: "UINT8", shape: [2], bytes: 2 }],
      outputs: [{ name: "output", datatype: "UINT8", shape: [2], bytes: 2 }],
      events: [{ type: "submitted" }, { type: "claimed" }, { type: "succeeded" }],
    });
  });

  test("can be watched from where a watch before it ended", async () => {
    const client = useClient();
    const [job] = await client.submit(identityJob(Buffer.of(1)));
    await client.ended(job!.job_id);
    const events = (await client.watch(job!.job_id, 2)).flatMap(({ event }) => (event ? [event.type] : []));
    expect(events).toEqual(["succeeded"]);
  });
});

describe("an artifact", () => {
  const bytes = Buffer.from("bytes that were uploaded");
  const sha256 = createHash("sha256").update(bytes).digest("hex");

  test("is an input of a job", async () => {
    const client = useClient();
    const promise = { sha256, byte_size: bytes.length };
    const uploaded = await client.upload([{ promise }, { chunk: bytes.subarray(0, 5) }, { chunk: bytes.subarray(5) }]);
    expect(uploaded).toEqual({ sha256, byte_size: bytes.length });
    const [job] = await client.submit({
      request: { model_name: "identity" },
      artifact_inputs: [{ name: "input", sha256 }],
    });
    expect((await client.ended(job!.job_id)).state).toBe("JOB_STATE_SUCCEEDED");
    expect((await client.result(job!.job_id)).bytes).toEqual(bytes);
  });

  test("that is not what was promised is refused", async () => {
    const upload = useClient().upload([{ promise: { sha256, byte_size: 0 } }, { chunk: Buffer.from("others") }]);
    expect(await failureOf(upload)).toMatchObject({ code: "ARTIFACT_MISMATCH" });
  });

  test.each([
    ["is not there", { name: "input", sha256: "0".repeat(64) }, "ARTIFACT_NOT_FOUND"],
    ["has a digest that is none", { name: "input", sha256: "../../etc/passwd" }, "REQUEST_MALFORMED"],
    ["is for no input of the service", { name: "other", sha256 }, "REQUEST_MALFORMED"],
    ["has another size than its shape", { name: "input", sha256, shape: [3] }, "REQUEST_MALFORMED"],
  ])("that %s makes no job", async (_, artifact, code) => {
    const client = useClient();
    await client.upload([{ chunk: bytes }]);
    const submit = client.submit({ request: { model_name: "identity" }, artifact_inputs: [artifact] });
    expect(await failureOf(submit)).toMatchObject({ code });
  });
});

describe("who may see a job", () => {
  test("is its caller and an operator, and nobody else learns that it is there", async () => {
    const owner = useClient();
    const [job] = await owner.submit(identityJob(Buffer.of(1), { labels: { whose: "owner" } }));
    await owner.ended(job!.job_id);
    const other = await useOther("client", "other");
    const elsewhere = await useOther("operator", "elsewhere", ["faulty"]);
    const operator = await useOther("operator", "operator");
    for (const client of [other, elsewhere]) {
      for (const method of ["GetStatus", "CancelJob"]) {
        expect(await failureOf(client.call(method, { job_id: job!.job_id }))).toMatchObject({ code: "JOB_NOT_FOUND" });
      }
      expect(await failureOf(client.watch(job!.job_id))).toMatchObject({ code: "JOB_NOT_FOUND" });
      expect(await failureOf(client.result(job!.job_id))).toMatchObject({ code: "JOB_NOT_FOUND" });
    }
    expect((await operator.status(job!.job_id)).state).toBe("JOB_STATE_SUCCEEDED");
    const labels = { whose: "owner" };
    const idsOf = async (client: JobClient, terms: object = {}) =>
      (await client.call<{ jobs: { job_id: string }[] }>("ListJobs", { labels, ...terms })).jobs.map(
        (each) => each.job_id,
      );
    expect(await idsOf(owner)).toEqual([job!.job_id]);
    expect(await idsOf(operator)).toEqual([job!.job_id]);
    expect(await idsOf(operator, { own: true })).toEqual([]);
    expect(await idsOf(other)).toEqual([]);
    expect(await idsOf(elsewhere, { model_name: "faulty" })).toEqual([]);
  });

  test("may not be who submits: a viewer, or a client without a grant for the service", async () => {
    const viewer = await useOther("viewer", "viewer");
    const granted = await useOther("client", "granted", ["faulty"]);
    for (const client of [viewer, granted]) {
      expect(await failureOf(client.submit(identityJob(Buffer.of(1))))).toMatchObject({ code: "PERMISSION_DENIED" });
    }
  });
});

describe("jobs", () => {
  test("are accepted all together, or none is", async () => {
    const client = useClient();
    const labels = { batch: "mixed" };
    const jobs = [identityJob(Buffer.of(1), { labels }), { request: { model_name: "unknown" }, labels }];
    expect(await failureOf(client.submit(...jobs))).toMatchObject({ code: "SERVICE_NOT_FOUND" });
    expect((await client.call<{ jobs: unknown[] }>("ListJobs", { labels })).jobs ?? []).toEqual([]);
  });

  test("are listed in pages, newest first", async () => {
    const client = useClient();
    const labels = { batch: "paged" };
    const submitted = await client.submit(
      ...Array.from({ length: 5 }, (_, n) => identityJob(Buffer.of(n), { labels })),
    );
    const found: string[] = [];
    let token = "";
    do {
      const page = await client.call<{ jobs: { job_id: string }[]; next_page_token: string }>("ListJobs", {
        ...{ labels, page_size: 2, page_token: token },
      });
      found.push(...page.jobs.map(({ job_id }) => job_id));
      token = page.next_page_token;
    } while (token !== "");
    expect(found).toEqual(submitted.map(({ job_id }) => job_id).reverse());
  });

  test.each([
    ["none at all", [], "REQUEST_MALFORMED"],
    ["one without a request", [{}], "REQUEST_MALFORMED"],
    [
      "one with a label of strange letters",
      [identityJob(Buffer.of(1), { labels: { "a b": "" } })],
      "REQUEST_MALFORMED",
    ],
    ["one with a timeout before now", [identityJob(Buffer.of(1), { timeout_ms: -1 })], "REQUEST_MALFORMED"],
    [
      "one with inputs of another size",
      [{ request: { ...identityJob(Buffer.of(1)).request, raw_input_contents: [] } }],
      "REQUEST_MALFORMED",
    ],
  ])("are refused where there is %s", async (_, jobs, code) => {
    expect(await failureOf(useClient().submit(...jobs))).toMatchObject({ code });
  });

  test("are refused where the bytes are none", async () => {
    const client = useClient();
    const many = Array.from({ length: 1001 }, () => identityJob(Buffer.of(1)));
    expect(await failureOf(client.submit(...many))).toMatchObject({ code: "REQUEST_MALFORMED" });
    expect(await failureOf(client.call("ListJobs", { page_token: "nonsense" }))).toMatchObject({
      code: "REQUEST_MALFORMED",
    });
    expect(await failureOf(client.status("nonsense"))).toMatchObject({ code: "JOB_NOT_FOUND" });
  });
});

test("a job waits while its service is unloaded, and runs when it is loaded again", async () => {
  const client = useClient();
  const { runner } = host.server.services.find(({ conf }) => conf.name === "identity")!;
  await runner.unload(0);
  const [job] = await client.submit(identityJob(Buffer.of(1)));
  const reason = "identity to be loaded; an operator unloaded it";
  expect((await client.status(job!.job_id)).waits_for).toBe(reason);
  for await (const { status, event } of client.stream<JobChange>("WatchJob", { job_id: job!.job_id })) {
    if (event !== null || status.seq === 0) continue;
    expect(status.waits_for).toBe(reason);
    break;
  }
  await runner.load();
  expect(await client.ended(job!.job_id)).toMatchObject({ state: "JOB_STATE_SUCCEEDED", attempts: 1 });
});

test("a job wakes a service that rests, and says that it waits for it", async () => {
  const idle = await startLicensedServer([identityService], { services: { identity: { idleUnloadMs: 200 } } });
  onTestFinished(idle.end);
  const [service] = idle.server.services;
  await vi.waitFor(() => expect(service!.runner.state).toBe("idle"), { timeout: 10_000 });
  const client = useJobClient(idle.server.address, idle.token);
  const [job] = await client.submit(identityJob(Buffer.of(1)));
  expect(await client.ended(job!.job_id)).toMatchObject({ state: "JOB_STATE_SUCCEEDED", attempts: 1 });
});

test("a job outlives an orderly stop, and runs after the next start", async () => {
  const first = await useServer([{ ...faultyService, limits: { concurrency: 1 } }], { drainMs: 100 });
  const client = useJobClient(first.server.address, first.token);
  const jobs = await client.submit(faultyJob("wait", 4000), faultyJob("ok", 2));
  await vi.waitFor(
    async () => expect((await client.status(jobs[0]!.job_id)).state).toBe("JOB_STATE_RUNNING"),
    patience,
  );
  await first.server.stop();
  const second = await startServer({
    data: first.data,
    config: parseConfig({ listen: "127.0.0.1:0", ...transportUnderTest }, "test"),
    log: createLog({ level: "silent", format: "json" }),
  });
  onTestFinished(() => second.stop());
  const later = useJobClient(second.address, first.token);
  expect(await later.ended(jobs[0]!.job_id)).toMatchObject({ state: "JOB_STATE_SUCCEEDED", attempts: 2 });
  expect(await later.ended(jobs[1]!.job_id)).toMatchObject({ state: "JOB_STATE_SUCCEEDED", attempts: 1 });
});

test("jobs wait while their license refuses them, and go on under the next", async () => {
  const limited = { ...identityService, limits: { runs: 2, concurrency: 1 } };
  const used = await useServer([limited]);
  const client = useJobClient(used.server.address, used.token);
  const jobs = await client.submit(...[1, 2, 3].map((n) => identityJob(Buffer.of(n))));
  for (const job of jobs.slice(0, 2)) expect((await client.ended(job!.job_id)).state).toBe("JOB_STATE_SUCCEEDED");
  await vi.waitFor(async () => {
    const { state, waits_for, attempts } = await client.status(jobs[2]!.job_id);
    expect([state, attempts]).toEqual(["JOB_STATE_QUEUED", 0]);
    expect(waits_for).toContain("all 2 licensed runs are used");
  }, patience);
  await used.renew([{ ...limited, limits: { runs: 10, concurrency: 1 } }]);
  await used.server.checkLicense();
  expect((await client.ended(jobs[2]!.job_id)).state).toBe("JOB_STATE_SUCCEEDED");
});
