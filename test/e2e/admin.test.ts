import { readFileSync } from "node:fs";
import { expect, onTestFinished, test, vi } from "vitest";

import { AdminClient } from "../../src/grpc/index.ts";
import { addToken, type Role, removeToken } from "../../src/service/index.ts";
import { attacksOn, observed } from "../helpers/attack.ts";
import { failureOf, useBareClient } from "../helpers/bare-client.ts";
import { codeOfAsync } from "../helpers/code-of.ts";
import { useJobClient } from "../helpers/job-client.ts";
import {
  type DescribedService,
  faultyService,
  identityService,
  type ServingHost,
  useServer,
} from "../helpers/licensed-host.ts";
import { faultyRequest } from "../helpers/runner.ts";

const attack = attacksOn("calls");
const services: DescribedService[] = [
  { ...identityService, limits: { concurrency: 2, runs: 100 } },
  { ...faultyService, limits: { concurrency: 1 } },
];

async function useAdmin({ server, data }: ServingHost, role: Role, granted: "all" | string[] = "all") {
  const grant = { name: `${role}-${Math.random()}`, role, services: granted, expires: null };
  const { token, record } = await addToken(data.accessFile, grant);
  const client = new AdminClient({ server: server.address, token: token.reveal(), timeoutMs: 20_000 });
  onTestFinished(() => client.close());
  // A server takes a new token within a moment.
  await vi.waitFor(async () => expect(await codeOfAsync(() => client.status())).not.toBe("UNAUTHENTICATED"), {
    timeout: 10_000,
  });
  return { client, id: record.id };
}

const textsOf = async (client: AdminClient, filter: Parameters<AdminClient["searchLogs"]>[0]) =>
  (await client.searchLogs(filter, 100)).lines.map(({ text }) => text);

test("an admin sees what the server is, what it serves, and what happened to it", async () => {
  const host = await useServer(services);
  const { client } = await useAdmin(host, "admin");
  const caller = useBareClient(host.server.address, host.token);
  await caller.infer(faultyRequest("ok"));
  await failureOf(caller.infer(faultyRequest("abort")));
  await expect.poll(async () => (await client.status()).services[1]!.state).toBe("ready");
  const status = await client.status();
  expect(status).toMatchObject({
    version: expect.stringMatching(/^\d/),
    ready: true,
    license: { phase: "valid", daysLeft: 30 },
    services: [
      {
        name: "identity",
        state: "ready",
        runsLeft: 100,
        restarts: 0,
        lastError: null,
        jobs: { queued: 0, running: 0 },
      },
      {
        name: "faulty",
        state: "ready",
        runsLeft: -1,
        restarts: 1,
        endsInARow: 1,
        succeeded: 1,
        failed: 1,
        lastError: { code: "SERVICE_CRASHED" },
      },
    ],
    events: [{ service: "faulty", kind: "ended", code: "SERVICE_CRASHED", count: 1 }],
  });
  expect(status.uptimeMs).toBeGreaterThan(0);
  expect(status.services[0]!.pid).toBe(host.server.services[0]!.runner.pid);
  expect(status.services[0]!.memoryBytes).toBeGreaterThan(0);
});

test(
  "an operator sees the services of its grant, others nothing",
  attack("reads the status and logs of what is not its own", "operators of other services, clients and viewers"),
  async () => {
    const host = await useServer(services);
    const caller = useBareClient(host.server.address, host.token);
    await caller.infer(faultyRequest("tell"));
    const { client } = await useAdmin(host, "operator", ["faulty"]);
    const { services: seen } = await client.status();
    expect(seen.map(({ name }) => name)).toEqual(["faulty"]);
    expect(await textsOf(client, { service: "faulty" })).toEqual(["begin 1", "end 1"]);
    expect(await textsOf(client, {})).toEqual(["begin 1", "end 1"]);
    const other = await useAdmin(host, "operator", ["identity"]);
    expect(await textsOf(other.client, {})).toEqual([]);
    const refused: (() => Promise<unknown>)[] = [
      () => client.searchLogs({ service: "identity" }, 10),
      () => client.searchLogs({ source: "LOG_SOURCE_PLATFORM" }, 10),
      () => client.tailLogs({ service: "identity" }, 0).next(),
      () => client.release("identity"),
      () => other.client.searchLogs({ service: "../platform" }, 10),
    ];
    for (const role of ["client", "viewer"] as const) {
      const { client: low } = await useAdmin(host, role);
      refused.push(
        () => low.status(),
        () => low.searchLogs({}, 10),
        () => low.tailLogs({}, 0).next(),
        () => low.release("faulty"),
      );
    }
    for (const call of refused) expect(await codeOfAsync(call)).toBe("PERMISSION_DENIED");
    observed(`${refused.length} calls refused`);
  },
);

test("a line has the job that wrote it, by the id of the run log, and the server's lines are an admin's", async () => {
  const host = await useServer(services);
  const { client } = await useAdmin(host, "admin");
  const caller = useBareClient(host.server.address, host.token);
  await caller.infer(faultyRequest("tell", 1));
  await caller.infer(faultyRequest("tell", 2));
  const { lines } = await client.searchLogs({ service: "faulty", source: "LOG_SOURCE_SERVICE" }, 100);
  expect(lines.map(({ text, stream }) => `${stream} ${text}`)).toEqual([
    "stdout begin 1",
    "stderr end 1",
    "stdout begin 2",
    "stderr end 2",
  ]);
  const [first] = readFileSync(host.data.runLogFile, "utf8").split("\n");
  const { jobId } = JSON.parse(first!);
  expect(lines[0]!.jobIds).toEqual([jobId]);
  expect(await textsOf(client, { jobId })).toEqual(["begin 1", "end 1"]);
  expect(await textsOf(client, { stream: "stderr", text: "END" })).toEqual(["end 1", "end 2"]);
  expect(await textsOf(client, { source: "LOG_SOURCE_PLATFORM", text: "first authorization" })).toHaveLength(1);
  expect(await textsOf(client, { service: "faulty", source: "LOG_SOURCE_PLATFORM" })).toContain(
    "service state service=faulty state=ready",
  );
  expect(await textsOf(client, { sinceMs: Date.now() + 60_000 })).toEqual([]);
  for (const filter of [
    { level: "loud" },
    { stream: "stdin" },
    { source: 7 },
    { sinceMs: -1 },
    { text: "x".repeat(2000) },
  ]) {
    expect(await codeOfAsync(() => client.searchLogs(filter, 10))).toBe("REQUEST_MALFORMED");
  }
  expect(await codeOfAsync(() => client.searchLogs({}, 5001))).toBe("REQUEST_MALFORMED");
});

test("a job that outlives its call is found in the logs by its id, and waits for a service that is quarantined", async () => {
  const host = await useServer(services, { services: { faulty: { quarantineAfter: 1 } } });
  const { client } = await useAdmin(host, "operator", ["faulty"]);
  const jobs = useJobClient(host.server.address, host.token);
  const [told] = await jobs.submit({ request: faultyRequest("tell", 1) });
  await jobs.watch(told!.job_id);
  expect(await textsOf(client, { jobId: told!.job_id })).toEqual(["begin 1", "end 1"]);
  const caller = useBareClient(host.server.address, host.token);
  await failureOf(caller.infer(faultyRequest("abort")));
  await expect.poll(async () => (await client.status()).services[0]!.state).toBe("quarantined");
  const [waiting] = await jobs.submit({ request: faultyRequest("ok") });
  await expect.poll(async () => (await client.status()).services[0]!.jobs?.queued).toBe(1);
  await client.release("faulty");
  expect((await jobs.watch(waiting!.job_id)).at(-1)!.status).toMatchObject({ state: "JOB_STATE_SUCCEEDED" });
});

test("a tail begins with what is kept, goes on with what comes, and ends with the caller's token", async () => {
  const host = await useServer(services);
  const { client, id } = await useAdmin(host, "operator", ["faulty"]);
  const caller = useBareClient(host.server.address, host.token);
  await caller.infer(faultyRequest("tell", 1));
  const tail = client.tailLogs({ service: "faulty" }, 1);
  const next = async () => (await tail.next()).value?.line?.text;
  expect(await next()).toBe("end 1");
  await caller.infer(faultyRequest("tell", 2));
  expect([await next(), await next()]).toEqual(["begin 2", "end 2"]);
  await removeToken(host.data.accessFile, id);
  expect(await codeOfAsync(() => tail.next())).toBe("UNAUTHENTICATED");
});

test("a service that is quarantined says so everywhere, until somebody releases it", async () => {
  const host = await useServer(services, { services: { faulty: { quarantineAfter: 2 } } });
  const { client } = await useAdmin(host, "operator", ["faulty"]);
  const caller = useBareClient(host.server.address, host.token);
  for (let end = 0; end < 2; end++) await failureOf(caller.infer(faultyRequest("abort")));
  await expect.poll(async () => (await client.status()).services[0]!.state).toBe("quarantined");
  expect(await failureOf(caller.infer(faultyRequest("ok")))).toEqual({
    status: "UNAVAILABLE",
    code: "SERVICE_QUARANTINED",
  });
  const { ready, events } = await client.status();
  expect([ready, events.map(({ kind, count }) => `${kind} ${count}`)]).toEqual([false, ["ended 2", "quarantined 1"]]);
  expect(await caller.call("ModelReady", { name: "faulty" })).toEqual({ ready: false });
  expect(await caller.call("ModelReady", { name: "identity" })).toEqual({ ready: true });
  await client.release("faulty");
  await caller.infer(faultyRequest("ok"));
  const status = await client.status();
  expect(status.events.map(({ kind }) => kind)).toEqual(["ended", "quarantined", "released"]);
  expect(status.services[0]!).toMatchObject({ state: "ready", endsInARow: 0 });
  await client.release("faulty"); // twice is once
});

test("a job whose heartbeat stands still is ended, and its process with it; one that moves is not", async () => {
  const host = await useServer(services, { services: { faulty: { stuckAfterMs: 1000, cancelGraceMs: 100 } } });
  const { client } = await useAdmin(host, "admin");
  const caller = useBareClient(host.server.address, host.token);
  await caller.infer(faultyRequest("wait", 2500));
  expect(await failureOf(caller.infer(faultyRequest("loop")))).toEqual({
    status: "UNAVAILABLE",
    code: "SERVICE_UNRESPONSIVE",
  });
  await expect.poll(async () => (await client.status()).services[1]!.restarts).toBe(1);
  const { events } = await client.status();
  expect(events.map(({ kind, code }) => `${kind} ${code}`)).toEqual([
    "stuck SERVICE_UNRESPONSIVE",
    "ended SERVICE_CRASHED",
  ]);
  await caller.infer(faultyRequest("ok"));
});
