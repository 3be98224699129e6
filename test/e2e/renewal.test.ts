import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Metadata, type StatusObject } from "@grpc/grpc-js";
import { describe, expect, onTestFinished, test } from "vitest";
import { InferenceClient } from "../../src/grpc/index.ts";
import {
  addTrustRoot,
  envelopeKinds,
  formatJson,
  openHostKey,
  removeTrustRoot,
  signEnvelope,
} from "../../src/license/index.ts";
import { createVendor } from "../../src/license/vendor.fixture.ts";
import { readHostLedger, readServingState } from "../../src/service/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { attacksOn } from "../helpers/attack.ts";
import { failureOf, inferRequestBytes, useBareClient } from "../helpers/bare-client.ts";
import {
  type DescribedService,
  faultyService,
  identityService,
  type ServingHost,
  useLicensedHost,
  useServer,
} from "../helpers/licensed-host.ts";
import { runProgram } from "../helpers/programs.ts";
import { faultyJob, faultyRequest } from "../helpers/runner.ts";
import { useSignetServe } from "../helpers/signet-process.ts";

const attack = attacksOn("licenses");

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

function limited(limits: object, more: object = {}): DescribedService {
  return { ...identityService, ...more, limits };
}

const yesterday = new Date(Date.now() - 86_400_000).toISOString();

describe("a license that is renewed while the server runs", () => {
  test("changes the limits from the next call on, keeps what was used, and keeps the process", async () => {
    const host = await useServer([limited({ runs: 2 })]);
    const client = useClient(host);
    const { pid } = serviceOf(host, "identity")!.runner;
    await client.infer("identity", bytes(1));
    await client.infer("identity", bytes(2));
    await expect(client.infer("identity", bytes(3))).rejects.toMatchObject({ code: "LICENSE_RUNS_EXHAUSTED" });
    await host.renew([limited({ runs: 4 })]);
    await host.server.checkLicense();
    await client.infer("identity", bytes(3));
    expect(serviceOf(host, "identity")!.authorization.runsLeft).toBe(1);
    expect(serviceOf(host, "identity")!.runner.pid).toBe(pid);
    expect(readServingState(host.data)).toMatchObject({ sequence: 2, refused: null });
  });

  test("is news again in the log when it refuses what the one before it refused", async () => {
    const host = await useServer([limited({ runs: 1 })]);
    const client = useClient(host);
    const refusals = () => host.log.filter(({ msg }) => msg === "calls are refused by the license").length;
    const isRefused = { code: "LICENSE_RUNS_EXHAUSTED" };
    await client.infer("identity", bytes(1));
    for (let call = 0; call < 2; call++)
      await expect(client.infer("identity", bytes(1))).rejects.toMatchObject(isRefused);
    expect(refusals()).toBe(1);
    await host.renew([limited({ runs: 2 })]);
    await host.server.checkLicense();
    await client.infer("identity", bytes(1));
    await expect(client.infer("identity", bytes(1))).rejects.toMatchObject(isRefused);
    expect(refusals()).toBe(2);
  });

  test("is noticed without being told", async () => {
    const host = await useServer([limited({ runs: 2 })]);
    await host.renew([limited({ runs: 7 })]);
    await expect.poll(() => serviceOf(host, "identity")!.authorization.runsLeft, { timeout: 30_000 }).toBe(7);
  });

  test("starts services that were added, ends those that were removed, and says so", async () => {
    const host = await useServer([identityService]);
    const client = useClient(host);
    await client.infer("identity", bytes(1));
    const removed = serviceOf(host, "identity")!.runner;
    await host.renew([faultyService]);
    await host.server.checkLicense();
    expect(host.server.services.map(({ conf, runner }) => [conf.name, runner.state])).toEqual([["faulty", "ready"]]);
    await client.infer("faulty", faultyJob("ok").inputs);
    await expect(client.infer("identity", bytes(1))).rejects.toMatchObject({ code: "SERVICE_NOT_FOUND" });
    await expect.poll(() => removed.pid, { timeout: 20_000 }).toBeUndefined();
  });

  test("fails no call under load, and charges each exactly once, whatever changes", async () => {
    const host = await useServer([limited({ runs: 100_000, concurrency: 2 })]);
    const client = useClient(host);
    const first = serviceOf(host, "identity")!.runner;
    let isRenewing = true;
    let calls = 0;
    const callers = [1, 2, 3, 4].map(async (caller) => {
      while (isRenewing) {
        const [output] = await client.infer("identity", bytes(caller, calls % 256));
        expect(output!.data[0]).toBe(caller);
        calls++;
      }
    });
    // Another limit, another process, another set of files on disk, a service more and a service less.
    const renewals = [
      [limited({ runs: 200_000, concurrency: 2 })],
      [limited({ runs: 200_000, concurrency: 3 })],
      [limited({ runs: 200_000, concurrency: 3 }, { models: [host.data.accessFile] }), faultyService],
      [limited({ runs: 150_000, concurrency: 3 }, { version: "2" })],
    ];
    for (const services of renewals) {
      await host.renew(services);
      await host.server.checkLicense();
    }
    isRenewing = false;
    await Promise.all(callers);
    expect(serviceOf(host, "identity")!.runner).not.toBe(first);
    expect(serviceOf(host, "identity")!.authorization.runsLeft).toBe(150_000 - calls);
    await host.server.stop();
    const ledger = readHostLedger(host.data, await openHostKey(host.data.hostDir));
    expect([...ledger.accounts()].filter(({ service }) => service === "identity")).toMatchObject([
      { runs: calls, leased: 0 },
    ]);
    expect(calls).toBeGreaterThan(10);
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

  test("lets jobs of a replaced process end there, and runs new ones in the other", async () => {
    const host = await useServer([faultyService]);
    const client = useClient(host);
    const old = serviceOf(host, "faulty")!.runner;
    const running = client.infer("faulty", faultyJob("sleep", 4000).inputs);
    const waiting = client.infer("faulty", faultyJob("ok").inputs);
    await expect.poll(() => [old.running, old.queued], { timeout: 20_000 }).toEqual([1, 1]);
    await host.renew([{ ...faultyService, limits: { concurrency: 2 } }]);
    await host.server.checkLicense();
    expect(serviceOf(host, "faulty")!.runner).not.toBe(old);
    await client.infer("faulty", faultyJob("ok").inputs);
    await Promise.all([running, waiting]);
    await expect.poll(() => old.pid, { timeout: 20_000 }).toBeUndefined();
  });

  test("charges a call that waited meanwhile under the new license, where its process went on", async () => {
    const host = await useServer([{ ...faultyService, limits: { runs: 1 } }]);
    const client = useClient(host);
    const { runner } = serviceOf(host, "faulty")!;
    const leaving = new AbortController();
    const other = useBareClient(host.server.address, host.token);
    const running = failureOf(other.infer(faultyRequest("wait", 60_000), { signal: leaving.signal }));
    await expect.poll(() => runner.running, { timeout: 20_000 }).toBe(1);
    const waiting = client.infer("faulty", faultyJob("ok").inputs);
    await expect.poll(() => runner.queued, { timeout: 20_000 }).toBe(1);
    await host.renew([{ ...faultyService, limits: { runs: 3 } }]);
    await host.server.checkLicense();
    leaving.abort();
    expect(await running).toMatchObject({ status: "CANCELLED" });
    await waiting;
    expect(serviceOf(host, "faulty")!.authorization.runsLeft).toBe(1);
  });

  test("brings a service back that was stopped because its library was changed", async () => {
    const host = await useServer([identityService]);
    const client = useClient(host);
    writeFileSync(join(host.data.licenseDir, "files", "identity", "libsignet_identity.so"), "x");
    await expect(client.infer("identity", bytes(1))).rejects.toMatchObject({ code: "LIBRARY_CHANGED" });
    await host.renew([identityService]);
    await host.server.checkLicense();
    await client.infer("identity", bytes(1));
  });

  test("is taken over by the real server at SIGHUP, which says so in its log", async () => {
    const host = await useLicensedHost([identityService]);
    const server = useSignetServe(host.data.root, ["--listen", "127.0.0.1:0"]);
    await server.logged("serving");
    await host.renew([identityService]);
    server.kill("SIGHUP");
    expect(await server.logged("the installed license is in force")).toMatchObject({ sequence: 2, started: [] });
    await expect.poll(() => readServingState(host.data)?.sequence).toBe(2);
    server.kill("SIGTERM");
    expect(await server.exit()).toBe(0);
    expect(readServingState(host.data)).toBeNull();
  });
});

describe("a license that is refused while the server runs", () => {
  test("leaves the one in force as it is, and the state says why", async () => {
    const host = await useServer([identityService]);
    const client = useClient(host);
    writeFileSync(join(host.data.licenseDir, "license.lic"), "nonsense");
    await host.server.checkLicense();
    await client.infer("identity", bytes(1));
    expect(readServingState(host.data)).toMatchObject({ sequence: 1, refused: { code: "LICENSE_MALFORMED" } });
    await host.renew([identityService]);
    await host.server.checkLicense();
    expect(readServingState(host.data)).toMatchObject({ refused: null });
  });

  test("still has its files when the next one is installed, and no call fails until that takes over", async () => {
    const host = await useServer([limited({ concurrency: 2 })]);
    const client = useClient(host);
    rmSync(join(host.data.homesDir, "identity"), { recursive: true });
    writeFileSync(join(host.data.homesDir, "identity"), "");
    const withModel = limited({ concurrency: 3 }, { models: [host.data.accessFile] });
    await host.renew([withModel]);
    await host.server.checkLicense();
    await client.infer("identity", bytes(1));
    await host.renew([withModel]);
    await client.infer("identity", bytes(2));
    rmSync(join(host.data.homesDir, "identity"));
    await host.renew([withModel]);
    await client.infer("identity", bytes(3));
    await host.server.checkLicense();
    await client.infer("identity", bytes(4));
    expect(readServingState(host.data)).toMatchObject({ sequence: 4, refused: null });
  });

  test(
    "because it is older than the one in force does not take over, however it got there",
    attack("goes back to an older license while it serves", "its files in place of the new ones"),
    async () => {
      const host = await useServer([limited({ runs: 5 })]);
      const { licenseId } = readServingState(host.data)!;
      await host.renew([limited({ runs: 6 })], undefined, { licenseId, sequence: 3 });
      await host.server.checkLicense();
      await host.relicense([limited({ runs: 7 })], undefined, { licenseId, sequence: 2 });
      await host.server.checkLicense();
      expect(readServingState(host.data)).toMatchObject({ sequence: 3, refused: { code: "LICENSE_SUPERSEDED" } });
      expect(serviceOf(host, "identity")!.authorization.runsLeft).toBe(6);
    },
  );

  test("because one of its services does not start does not end the process that works", async () => {
    const host = await useServer([identityService]);
    const client = useClient(host);
    const { pid } = serviceOf(host, "identity")!.runner;
    // Nothing can be started in a home directory that is a file.
    rmSync(join(host.data.homesDir, "identity"), { recursive: true });
    writeFileSync(join(host.data.homesDir, "identity"), "");
    await host.renew([limited({ runs: 1000, concurrency: 3 })]);
    await host.server.checkLicense();
    await client.infer("identity", bytes(1));
    expect(serviceOf(host, "identity")!.runner.pid).toBe(pid);
    expect(readServingState(host.data)).toMatchObject({ sequence: 1, refused: { code: "INTERNAL" } });
  });
});

test("a server that is stopped while a renewal starts a process stops at once, and keeps the license it had", async () => {
  const host = await useServer([identityService]);
  const { licenseId } = readServingState(host.data)!;
  await host.renew([limited({ runs: 9, concurrency: 3 })]);
  const checking = host.server.checkLicense();
  await host.server.stop();
  await checking;
  const ledger = readHostLedger(host.data, await openHostKey(host.data.hostDir));
  expect(ledger.highestSequence(licenseId)).toBe(1);
});

test(
  "a license that its vendor withdraws while the server runs stops its services",
  attack("goes on with a license that was withdrawn", "a list installed while it serves"),
  async () => {
    const host = await useServer([identityService]);
    const client = useClient(host);
    const { licenseId } = readServingState(host.data)!;
    const list = { v: 1, product: "signet", number: 1, issuedAt: yesterday, licenses: [licenseId], issuers: [] };
    const { key, certificate } = host.vendor.issuer;
    const file = signEnvelope({
      kind: envelopeKinds.revocation,
      payload: Buffer.from(formatJson(list)),
      key,
      certificates: [certificate],
    });
    mkdirSync(host.data.revocationDir, { recursive: true });
    writeFileSync(join(host.data.revocationDir, "list.crl"), file);
    await host.server.checkLicense();
    await expect(client.infer("identity", bytes(1))).rejects.toMatchObject({ code: "LICENSE_REVOKED" });
  },
);

describe("a root that is pinned no longer", () => {
  test(
    "stops what hangs on it while the server runs, whoever else is trusted, until it is pinned again",
    attack("goes on with a root that is pinned no longer", "another root pinned instead"),
    async () => {
      const host = await useServer([identityService]);
      const client = useClient(host);
      const root = Buffer.from(host.vendor.root.certificate.toString());
      const other = Buffer.from(createVendor().root.certificate.toString());
      const { trustDir } = host.data;
      await removeTrustRoot(trustDir, host.vendor.trustRoot.keyId);
      await host.server.checkLicense();
      await expect(client.infer("identity", bytes(1))).rejects.toMatchObject({ code: "LICENSE_UNTRUSTED" });
      await addTrustRoot(trustDir, other);
      await host.server.checkLicense();
      await expect(client.infer("identity", bytes(1))).rejects.toMatchObject({ code: "LICENSE_UNTRUSTED" });
      expect(readServingState(host.data)).toMatchObject({ refused: { code: "LICENSE_UNTRUSTED" } });
      await addTrustRoot(trustDir, root);
      await host.server.checkLicense();
      await client.infer("identity", bytes(2));
    },
  );

  test("of another vendor stops nothing", async () => {
    const host = await useServer([identityService]);
    const other = createVendor();
    await addTrustRoot(host.data.trustDir, Buffer.from(other.root.certificate.toString()));
    await host.server.checkLicense();
    const { pid } = serviceOf(host, "identity")!.runner;
    await removeTrustRoot(host.data.trustDir, other.trustRoot.keyId);
    await host.server.checkLicense();
    await useClient(host).infer("identity", bytes(1));
    expect(serviceOf(host, "identity")!.runner.pid).toBe(pid);
  });

  test("is noticed by the real server without being told, which says so in its log", async () => {
    const host = await useLicensedHost([identityService]);
    const server = useSignetServe(host.data.root, ["--listen", "127.0.0.1:0"]);
    await server.logged("serving");
    const { keyId } = host.vendor.trustRoot;
    const removed = runProgram("signet", ["trust", "remove", keyId, "--data", host.data.root]);
    expect(removed).toMatchObject({ exit: 0, err: expect.stringContaining("running server") });
    const logged = await server.logged("the license in force hangs on no pinned root any more; its services stop");
    expect(logged).toMatchObject({ err: { code: "LICENSE_UNTRUSTED" } });
  });
});

describe("what happens at a license's ends", () => {
  const callTimes = async (client: InferenceClient, times: number) => {
    for (let call = 0; call < times; call++) await client.infer("identity", bytes(call));
  };

  test(
    "in the mode grace 5 percent more runs are served, and not one above",
    attack("takes more than grace allows", "the 22nd of 20 runs and 5 percent"),
    async () => {
      const host = await useServer([limited({ runs: 20 })], {}, { validDays: 30, enforcement: "grace" });
      const client = useClient(host);
      await callTimes(client, 21);
      await expect(client.infer("identity", bytes(1))).rejects.toMatchObject({ code: "LICENSE_RUNS_EXHAUSTED" });
    },
  );

  test("in the mode advisory neither runs nor the end of its time refuse a call, and all of it is counted", async () => {
    const limits = { runs: 1, runTime: "1ms", expires: yesterday };
    const host = await useServer([limited(limits)], {}, { validDays: 30, enforcement: "advisory" });
    await callTimes(useClient(host), 3);
    await host.server.stop();
    const ledger = readHostLedger(host.data, await openHostKey(host.data.hostDir));
    expect([...ledger.accounts()]).toMatchObject([{ runs: 3 }]);
  });

  test.each([
    { terms: { validDays: 100 }, limits: {}, trailers: [[], []] },
    { terms: { validDays: 20 }, limits: {}, trailers: [["expiring"], ["20"]] },
    { terms: { validDays: 100, graceDays: 5 }, limits: { expires: yesterday }, trailers: [["grace"], ["4"]] },
    {
      terms: { validDays: 100, enforcement: "advisory" },
      limits: { expires: yesterday },
      trailers: [["expired"], ["0"]],
    },
  ])("a client is told by trailers: $terms, $limits gives $trailers", async ({ terms, limits, trailers }) => {
    const host = await useServer([limited(limits)], {}, terms);
    const { channel } = useBareClient(host.server.address, host.token);
    const request = { model_name: "identity", inputs: [{ name: "input", datatype: "UINT8", shape: [1] }] };
    const body = inferRequestBytes({ ...request, raw_input_contents: [Buffer.of(1)] });
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${host.token}`);
    const asIs = (value: Buffer) => value;
    const status = await new Promise<StatusObject>((resolve) => {
      const path = "/inference.GRPCInferenceService/ModelInfer";
      channel.makeUnaryRequest(path, asIs, asIs, body, metadata, () => undefined).on("status", resolve);
    });
    expect(status.code).toBe(0);
    const names = ["signet-license-state", "signet-license-days-left"];
    expect(names.map((name) => status.metadata.get(name))).toEqual(trailers);
  });
});
