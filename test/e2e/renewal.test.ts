import { describe, expect, onTestFinished, test } from "vitest";
import { InferenceClient } from "../../src/grpc/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { faultyService, identityService, type ServingHost, useServer } from "../helpers/licensed-host.ts";
import { faultyJob } from "../helpers/runner.ts";

function useClient({ server, token }: ServingHost): InferenceClient {
  const client = new InferenceClient({ server: server.address, token, timeoutMs: 60_000 });
  onTestFinished(() => client.close());
  return client;
}

function bytes(...values: number[]): Tensor[] {
  return [{ name: "input", datatype: "UINT8", shape: [values.length], data: new Uint8Array(values) }];
}

function serviceOf({ server }: ServingHost, name: string) {
  return server.services.find(({ conf }) => conf.name === name);
}

const yesterday = new Date(Date.now() - 86_400_000).toISOString();

describe("a license that is renewed while the server runs", () => {
  test("changes the limits from the next call on, keeps what was used, and keeps the process", async () => {
    const host = await useServer([{ ...identityService, limits: { runs: 2 } }]);
    const client = useClient(host);
    const { pid } = serviceOf(host, "identity")!.runner;
    await client.infer("identity", bytes(1));
    await client.infer("identity", bytes(2));
    await expect(client.infer("identity", bytes(3))).rejects.toMatchObject({ code: "LICENSE_RUNS_EXHAUSTED" });
    await host.renew([{ ...identityService, limits: { runs: 4 } }]);
    await host.server.checkLicense();
    await client.infer("identity", bytes(3));
    expect(serviceOf(host, "identity")!.authorization.runsLeft).toBe(1);
    expect(serviceOf(host, "identity")!.runner.pid).toBe(pid);
  });

  test("starts services that were added, ends those that were removed, and says so in health checks", async () => {
    const host = await useServer([identityService]);
    const client = useClient(host);
    await client.infer("identity", bytes(1));
    await host.renew([faultyService]);
    await host.server.checkLicense();
    expect(host.server.services.map(({ conf, runner }) => [conf.name, runner.state])).toEqual([["faulty", "ready"]]);
    await client.infer("faulty", faultyJob("ok").inputs);
    await expect(client.infer("identity", bytes(1))).rejects.toMatchObject({ code: "SERVICE_NOT_FOUND" });
  });

  test("lets a job that runs end, whatever the new license says of its service's time", async () => {
    const host = await useServer([faultyService]);
    const client = useClient(host);
    const running = client.infer("faulty", faultyJob("sleep", 3000).inputs);
    await expect.poll(() => serviceOf(host, "faulty")!.runner.running, { timeout: 20_000 }).toBe(1);
    await host.renew([{ ...faultyService, limits: { expires: yesterday } }]);
    await host.server.checkLicense();
    await expect(client.infer("faulty", faultyJob("ok").inputs)).rejects.toMatchObject({ code: "LICENSE_EXPIRED" });
    await running;
  });
});
