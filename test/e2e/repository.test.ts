import { expect, test, vi } from "vitest";
import { type AuditRecord, readAudit } from "../../src/audit/index.ts";
import { openHostKey } from "../../src/license/index.ts";
import { addToken, auditPlaceOf, type Role } from "../../src/service/index.ts";
import { type BareClient, failureOf, useBareClient } from "../helpers/bare-client.ts";
import {
  type DescribedService,
  faultyService,
  identityService,
  type ServingHost,
  useServer,
} from "../helpers/licensed-host.ts";
import { faultyRequest } from "../helpers/runner.ts";

const services: DescribedService[] = [
  { ...identityService, limits: { concurrency: 2 } },
  { ...faultyService, limits: { concurrency: 1 } },
];

const request = {
  model_name: "identity",
  inputs: [{ name: "input", datatype: "UINT8", shape: [1] }],
  raw_input_contents: [Buffer.of(7)],
};
const denied = { status: "PERMISSION_DENIED", code: "PERMISSION_DENIED" };
const unloaded = { status: "UNAVAILABLE", code: "SERVICE_UNLOADED" };

async function useOperator(config: object = {}) {
  const host = await useServer(services, config);
  const token = await tokenOf(host, "operator");
  const client = useBareClient(host.server.address, token);
  await vi.waitFor(() => client.call("ServerMetadata"), { timeout: 10_000 });
  return { host, client };
}

async function tokenOf(host: ServingHost, role: Role, granted: "all" | string[] = "all"): Promise<string> {
  const { token } = await addToken(host.data.accessFile, { name: role, role, services: granted, expires: null });
  return token.reveal();
}

async function indexOf(client: BareClient, ready = false): Promise<string[]> {
  const { models } = await client.call<{ models: { name: string; version: string; state: string; reason: string }[] }>(
    "RepositoryIndex",
    { ready },
  );
  return models.map(({ name, version, state, reason }) => `${name} ${version} ${state} ${reason}`.trim());
}

function runnerOf({ server }: ServingHost, service: string) {
  return server.services.find(({ conf }) => conf.name === service)!.runner;
}

test("a service that is unloaded has no process, is no reason not to be ready, and comes back when it is loaded", async () => {
  const { host, client } = await useOperator();
  expect(await indexOf(client)).toEqual(["identity 1 READY", "faulty 1 READY"]);
  const before = runnerOf(host, "identity").pid!;

  await client.call("RepositoryModelUnload", { model_name: "identity" });
  expect(await indexOf(client)).toEqual(["identity 1 UNAVAILABLE unloaded", "faulty 1 READY"]);
  expect(await indexOf(client, true)).toEqual(["faulty 1 READY"]);
  expect(() => process.kill(before, 0)).toThrow(expect.objectContaining({ code: "ESRCH" }));
  expect(await client.call("ModelReady", { name: "identity" })).toEqual({ ready: false });
  expect(await client.call("ServerReady")).toEqual({ ready: true });
  await expect(client.infer(request)).rejects.toMatchObject({
    details: expect.stringContaining("Request for unknown model: 'identity' has no available versions"),
  });
  expect(await failureOf(client.infer(request))).toEqual(unloaded);
  await client.infer(faultyRequest("ok", 1)); // others go on

  await client.call("RepositoryModelLoad", { model_name: "identity" });
  expect((await client.infer(request)).raw_output_contents).toEqual([Buffer.of(7)]);
  expect(runnerOf(host, "identity").pid).not.toBe(before);
});

test("unloading or loading what is so already succeeds and changes nothing", async () => {
  const { host, client } = await useOperator();
  const { pid } = runnerOf(host, "identity");
  await client.call("RepositoryModelLoad", { model_name: "identity" });
  expect(runnerOf(host, "identity").pid).toBe(pid);
  await client.call("RepositoryModelUnload", { model_name: "identity" });
  await client.call("RepositoryModelUnload", {
    model_name: "identity",
    parameters: { unload_dependents: { bool_param: true } },
  });
  await Promise.all([1, 2, 3].map(() => client.call("RepositoryModelLoad", { model_name: "identity" }).catch(() => 0)));
  await expect.poll(() => runnerOf(host, "identity").state).toBe("ready");
  await client.infer(request);
});

test("unloading lets what runs and waits end first, and takes nothing new meanwhile", async () => {
  const { host, client } = await useOperator();
  const jobs = [client.infer(faultyRequest("sleep", 400)), client.infer(faultyRequest("sleep", 1))];
  await expect.poll(() => runnerOf(host, "faulty").running + runnerOf(host, "faulty").queued).toBe(2);
  const unloading = client.call("RepositoryModelUnload", { model_name: "faulty" });
  await expect.poll(() => indexOf(client)).toContain("faulty 1 UNLOADING its jobs are ending");
  expect(await failureOf(client.infer(faultyRequest("ok", 1)))).toEqual(unloaded);
  await Promise.all(jobs);
  await unloading;
  expect(await indexOf(client)).toContain("faulty 1 UNAVAILABLE unloaded");
});

test("unloading cuts short what takes longer than the drain time", async () => {
  const { client, host } = await useOperator({ drainMs: 100 });
  const job = failureOf(client.infer(faultyRequest("wait", 3_600_000)));
  await expect.poll(() => runnerOf(host, "faulty").running).toBe(1);
  await client.call("RepositoryModelUnload", { model_name: "faulty" });
  expect(await job).toEqual(unloaded);
});

test("what was unloaded stays so when the license is renewed, with another process in view or the same", async () => {
  const { host, client } = await useOperator();
  await client.call("RepositoryModelUnload", { model_name: "identity" });
  const wider = [{ ...services[0]!, limits: { concurrency: 3 } }, services[1]!];
  for (const described of [services, wider]) {
    await host.renew(described);
    await host.server.checkLicense();
    expect(await indexOf(client)).toEqual(["identity 1 UNAVAILABLE unloaded", "faulty 1 READY"]);
  }
  await client.call("RepositoryModelLoad", { model_name: "identity" });
  await client.infer(request);
});

test("only what the license names is loaded, as the license has it", async () => {
  const { client } = await useOperator();
  const refusals: [object, object][] = [
    [{ model_name: "another" }, { status: "NOT_FOUND", code: "SERVICE_NOT_FOUND" }],
    [{ model_name: "../identity" }, { status: "NOT_FOUND", code: "SERVICE_NOT_FOUND" }],
    [
      { model_name: "identity", repository_name: "/tmp" },
      { status: "UNIMPLEMENTED", code: "NOT_IMPLEMENTED" },
    ],
    ...["config", "file:1/model.py"].map((name): [object, object] => [
      { model_name: "identity", parameters: { [name]: { string_param: "{}" } } },
      { status: "FAILED_PRECONDITION", code: "NOT_IN_LICENSE" },
    ]),
  ];
  for (const [message, refusal] of refusals) {
    expect(await failureOf(client.call("RepositoryModelLoad", { ...message }))).toEqual(refusal);
  }
});

test.each<[Role, "all" | string[]]>([
  ["viewer", "all"],
  ["client", "all"],
  ["operator", ["faulty"]],
])("a %s with grants for %j does not load or unload", async (role, granted) => {
  const { host } = await useOperator();
  const client = useBareClient(host.server.address, await tokenOf(host, role, granted));
  await vi.waitFor(() => indexOf(client), { timeout: 10_000 }); // which everybody may see
  for (const method of ["RepositoryModelUnload", "RepositoryModelLoad"]) {
    expect(await failureOf(client.call(method, { model_name: "identity" }))).toEqual(denied);
  }
});

test("who unloaded and loaded is in the audit log", async () => {
  const { host, client } = await useOperator();
  await client.call("RepositoryModelUnload", { model_name: "identity" });
  await client.call("RepositoryModelLoad", { model_name: "identity" });
  await host.server.stop();
  const records: AuditRecord[] = [];
  await readAudit(auditPlaceOf(host.data, await openHostKey(host.data.hostDir)), (record) => records.push(record));
  expect(records.filter(({ event }) => /^service\.(un)?loaded$/.test(event))).toMatchObject([
    { event: "service.unloaded", detail: { service: "identity", identity: "operator" } },
    { event: "service.loaded", detail: { service: "identity", identity: "operator" } },
  ]);
});

test("statistics count what succeeded and failed, with where the time went", async () => {
  const { client } = await useOperator();
  type Counted = { count: string; ns: string };
  type Stats = Record<string, unknown> & { inference_stats: Record<string, Counted> };
  const read = async (name = "") =>
    (await client.call<{ model_stats: Stats[] }>("ModelStatistics", { name })).model_stats;
  const [fresh] = await read("faulty");
  expect(fresh).toMatchObject({ name: "faulty", version: "1", last_inference: "0", inference_count: "0" });
  expect(fresh!.batch_stats).toEqual([]);

  const began = Date.now();
  await client.infer(faultyRequest("sleep", 50));
  await client.infer(faultyRequest("sleep", 50));
  await failureOf(client.infer(faultyRequest("fail", 1)));
  await failureOf(client.infer(faultyRequest("unknown mode", 1)));
  const [faulty] = await read("faulty");
  expect(faulty).toMatchObject({ inference_count: "2", execution_count: "2", batch_stats: [{ batch_size: "1" }] });
  expect(Number(faulty!.last_inference)).toBeGreaterThanOrEqual(began);
  const { success, fail, queue, compute_input, compute_infer, compute_output, cache_hit } = faulty!.inference_stats;
  expect([success, queue, compute_input, compute_infer, compute_output].map((each) => each!.count)).toEqual(
    Array(5).fill("2"),
  );
  expect(fail!.count).toBe("2");
  expect(cache_hit!.count).toBe("0");
  // Both slept in the plugin, and that is within the whole.
  expect(Number(compute_infer!.ns)).toBeGreaterThanOrEqual(100e6);
  const parts = [queue, compute_input, compute_infer, compute_output].map((each) => Number(each!.ns));
  expect(Number(success!.ns)).toBeGreaterThanOrEqual(parts.reduce((sum, ns) => sum + ns));
  expect(Math.min(...parts)).toBeGreaterThan(0);
  expect(faulty!.memory_usage).toMatchObject([{ type: "CPU", byte_size: expect.stringMatching(/^\d{7,}$/) }]);

  expect((await read()).map(({ name }) => name)).toEqual(["identity", "faulty"]);
  expect(await failureOf(read("nobody"))).toEqual({ status: "NOT_FOUND", code: "SERVICE_NOT_FOUND" });
});
