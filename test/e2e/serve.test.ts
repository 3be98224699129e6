import { appendFileSync, readFileSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { InferenceClient } from "../../src/grpc/index.ts";
import { openHostKey } from "../../src/license/index.ts";
import { readHostLedger } from "../../src/service/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { attacksOn } from "../helpers/attack.ts";
import { faultyService, identityService, type ServingHost, useServer } from "../helpers/licensed-host.ts";
import { faultyJob } from "../helpers/runner.ts";

const attack = attacksOn("libraries and models");
const attackOnLimits = attacksOn("the ledger and the clock");

function useClient(
  { server, token }: ServingHost,
  options: { token?: string; timeoutMs?: number } = {},
): InferenceClient {
  const client = new InferenceClient({ server: server.address, token, timeoutMs: 20_000, ...options });
  onTestFinished(() => client.close());
  return client;
}

function bytes(...values: number[]): Tensor[] {
  return [{ name: "input", datatype: "UINT8", shape: [values.length], data: new Uint8Array(values) }];
}

function faulty(mode: string, amount = 1): readonly Tensor[] {
  return faultyJob(mode, amount).inputs;
}

describe("a licensed call", () => {
  test("runs through gRPC, the service host and the plugin, and is charged once", async () => {
    const host = await useServer([identityService]);
    const client = useClient(host);
    const [output] = await client.infer("identity", bytes(1, 2, 3));
    expect(output).toMatchObject({ name: "output", datatype: "UINT8", shape: [3] });
    expect([...output!.data]).toEqual([1, 2, 3]);
    expect(host.server.services[0]!.authorization.runsLeft).toBe(999);
    await host.server.stop();
    const ledger = readHostLedger(host.data, await openHostKey(host.data.hostDir));
    const [account] = [...ledger.accounts()];
    expect(account).toMatchObject({ service: "identity", runs: 1, leased: 0 });
  });

  test("is held by the plugin to what the license grants beside the service", async () => {
    const host = await useServer([{ ...identityService, entitlements: { maxBytes: 2, tier: "small" } }]);
    const client = useClient(host);
    await expect(client.infer("identity", bytes(1, 2))).resolves.toHaveLength(1);
    await expect(client.infer("identity", bytes(1, 2, 3))).rejects.toMatchObject({ code: "PLUGIN_FAILED" });
  });

  test("leaves a line in the run log, which says whether a run was charged", async () => {
    const host = await useServer([identityService, faultyService]);
    const client = useClient(host);
    await client.infer("identity", bytes(1));
    await expect(client.infer("faulty", faulty("abort"))).rejects.toMatchObject({ code: "SERVICE_CRASHED" });
    await expect(client.infer("identity", [])).rejects.toMatchObject({ code: "REQUEST_MALFORMED" });
    await host.server.stop();
    const lines = readFileSync(host.data.runLogFile, "utf8").trim().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { service: "identity", client: "test", outcome: "OK", charged: true, runsLeft: 999 },
      { service: "faulty", client: "test", outcome: "SERVICE_CRASHED", charged: true, runsLeft: null },
      { service: "identity", client: "test", outcome: "REQUEST_MALFORMED", charged: false, runsLeft: 999 },
    ]);
  });

  test("is refused without a token, with a wrong one, and where the token does not grant it", async () => {
    const host = await useServer([identityService]);
    for (const token of ["", `sgn_aaaaaaaa_${"A".repeat(43)}`]) {
      await expect(useClient(host, { token }).infer("identity", bytes(1))).rejects.toMatchObject({
        code: "UNAUTHENTICATED",
      });
    }
    expect(host.server.services[0]!.authorization.runsLeft).toBe(1000);
  });

  test("of an unknown service or version is not found", async () => {
    const host = await useServer([identityService]);
    await expect(useClient(host).infer("nobody", bytes(1))).rejects.toMatchObject({ code: "SERVICE_NOT_FOUND" });
  });

  test("that does not fit the tensors is refused before it is charged", async () => {
    const host = await useServer([identityService]);
    const wrong = [{ ...bytes(1, 2)[0]!, shape: [3] }];
    await expect(useClient(host).infer("identity", wrong)).rejects.toMatchObject({ code: "REQUEST_MALFORMED" });
    expect(host.server.services[0]!.authorization.runsLeft).toBe(1000);
  });

  test(
    "beyond the licensed runs is refused, and the log says so once",
    attackOnLimits("runs more often than licensed", "3 calls beyond 2 runs"),
    async () => {
      const host = await useServer([{ ...identityService, limits: { runs: 2 } }]);
      const client = useClient(host);
      await client.infer("identity", bytes(1));
      await client.infer("identity", bytes(2));
      for (let call = 0; call < 3; call++) {
        await expect(client.infer("identity", bytes(3))).rejects.toMatchObject({ code: "LICENSE_RUNS_EXHAUSTED" });
      }
      expect(host.log.filter(({ level }) => level === "warn")).toMatchObject([
        { service: "identity", err: { code: "LICENSE_RUNS_EXHAUSTED" } },
      ]);
    },
  );

  test("that crashes its service is charged, and leaves other services alone", async () => {
    const host = await useServer([identityService, { ...faultyService, limits: { runs: 10 } }]);
    const client = useClient(host);
    const crashing = client.infer("faulty", faulty("abort"));
    const other = client.infer("identity", bytes(5));
    await expect(crashing).rejects.toMatchObject({ code: "SERVICE_CRASHED" });
    expect([...(await other)[0]!.data]).toEqual([5]);
    await client.infer("faulty", faulty("ok"));
    expect(host.server.services[1]!.authorization.runsLeft).toBe(8);
  });

  test("whose deadline passes is answered at once, and the plugin is told to stop", async () => {
    const host = await useServer([faultyService]);
    const client = useClient(host, { timeoutMs: 300 });
    await expect(client.infer("faulty", faulty("wait", 60_000))).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    await expect.poll(() => host.server.services[0]!.runner.running, { timeout: 10_000 }).toBe(0);
    expect(host.server.services[0]!.runner.state).toBe("ready");
  });

  test(
    "that takes longer than the license allows one job is ended",
    attackOnLimits("runs longer than licensed", "an endless loop, 200 ms licensed"),
    async () => {
      const host = await useServer([{ ...faultyService, limits: { jobTime: "200ms" } }], {
        defaults: { cancelGraceMs: 100 },
      });
      const client = useClient(host);
      await expect(client.infer("faulty", faulty("loop"))).rejects.toMatchObject({ code: "JOB_TIME_EXCEEDED" });
      await client.infer("faulty", faulty("ok"));
    },
  );
});

describe("second authorization", () => {
  const libraryOf = (host: ServingHost) => join(host.data.licenseDir, "files", "identity", "libsignet_identity.so");

  test(
    "stops a service whose library was changed while it serves, and logs which file it was",
    attack("changes a library while it serves", "one byte appended"),
    async () => {
      const host = await useServer([identityService, faultyService]);
      const client = useClient(host);
      await client.infer("identity", bytes(1));
      appendFileSync(libraryOf(host), "x");
      await expect(client.infer("identity", bytes(1))).rejects.toMatchObject({ code: "LIBRARY_CHANGED" });
      await expect(client.infer("identity", bytes(1))).rejects.toMatchObject({ code: "LIBRARY_CHANGED" });
      expect(host.server.services[0]!.runner.state).toBe("refused");
      const file = expect.stringContaining(libraryOf(host));
      expect(host.log.filter(({ level }) => level === "error")).toMatchObject([
        { service: "identity", err: { code: "LIBRARY_CHANGED", message: file } },
      ]);
      expect(host.log).toContainEqual(expect.objectContaining({ state: "refused", reason: "LIBRARY_CHANGED" }));
      await client.infer("faulty", faulty("ok"));
    },
  );

  test("fails no call when a library is touched while calls wait for their turn", async () => {
    const host = await useServer([{ ...faultyService, limits: { runs: 100 } }]);
    const library = join(host.data.licenseDir, "files", "faulty", "libsignet_faulty.so");
    const client = useClient(host);
    const calls = Array.from({ length: 4 }, () => client.infer("faulty", faulty("wait", 100)));
    await expect.poll(() => host.server.services[0]!.runner.running).toBe(1);
    utimesSync(library, new Date(), new Date());
    await Promise.all(calls);
    expect(host.server.services[0]!.authorization.runsLeft).toBe(96);
  });

  test("accepts a library that was only touched", async () => {
    const host = await useServer([identityService]);
    const client = useClient(host);
    await client.infer("identity", bytes(1));
    utimesSync(libraryOf(host), new Date(), new Date());
    await client.infer("identity", bytes(1));
  });

  test(
    "refuses a service before its time and after it",
    attackOnLimits("calls a service out of its time", "tomorrow's and yesterday's"),
    async () => {
      const tomorrow = new Date(Date.now() + 86_400_000).toISOString();
      const yesterday = new Date(Date.now() - 86_400_000).toISOString();
      const host = await useServer([
        { ...identityService, name: "early", limits: { notBefore: tomorrow } },
        { ...identityService, name: "late", limits: { expires: yesterday } },
      ]);
      const client = useClient(host);
      await expect(client.infer("early", bytes(1))).rejects.toMatchObject({ code: "LICENSE_NOT_YET_VALID" });
      await expect(client.infer("late", bytes(1))).rejects.toMatchObject({ code: "LICENSE_EXPIRED" });
    },
  );
});
