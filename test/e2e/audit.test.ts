import { appendFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { type AuditRecord, readAudit } from "../../src/audit/index.ts";
import { parseConfig } from "../../src/config/index.ts";
import { InferenceClient } from "../../src/grpc/index.ts";
import { openHostKey, removeTrustRoot } from "../../src/license/index.ts";
import { startServer } from "../../src/server.ts";
import { auditPlaceOf } from "../../src/service/index.ts";
import { createLog } from "../../src/telemetry/index.ts";
import {
  faultyService,
  identityService,
  type LicensedHost,
  type ServingHost,
  startLicensedServer,
  useLicensedHost,
} from "../helpers/licensed-host.ts";
import { faultyJob } from "../helpers/runner.ts";
import { useSignetServe } from "../helpers/signet-process.ts";

async function auditOf({ data }: LicensedHost): Promise<{ records: AuditRecord[]; faults: readonly object[] }> {
  const records: AuditRecord[] = [];
  const place = auditPlaceOf(data, await openHostKey(data.hostDir));
  const { faults } = await readAudit(place, (record) => records.push(record));
  return { records, faults };
}

/** Without the warnings of a license that is valid for a month only. */
function eventNames(records: readonly AuditRecord[]): string[] {
  return records.map(({ event }) => event).filter((event) => event !== "license.warning");
}

function start({ data }: LicensedHost) {
  const config = parseConfig({ listen: "127.0.0.1:0" }, "test");
  return startServer({ data, config, log: createLog({ level: "silent", format: "json" }) });
}

async function useServing(): Promise<{ host: ServingHost; client: InferenceClient; end(): Promise<void> }> {
  const host = await startLicensedServer([identityService, faultyService]);
  const client = new InferenceClient({ server: host.server.address, token: host.token, timeoutMs: 20_000 });
  onTestFinished(async () => {
    client.close();
    await host.end();
  });
  return { host, client, end: () => host.server.stop() };
}

test("a service that is refused by the trust in its vendor is not told as a changed library", async () => {
  const { host, end } = await useServing();
  await removeTrustRoot(host.data.trustDir, host.vendor.trustRoot.keyId);
  await host.server.checkLicense();
  await end();
  const { records } = await auditOf(host);
  const refused = records.filter(({ event }) => ["service.refused", "library.changed"].includes(event));
  expect(refused).toMatchObject([
    { event: "service.refused", code: "LICENSE_UNTRUSTED", detail: { service: "identity" } },
    { event: "service.refused", code: "LICENSE_UNTRUSTED", detail: { service: "faulty" } },
  ]);
});

test("a server records its license, its files, crashes of services, changed files, and its end", async () => {
  const { host, client, end } = await useServing();
  await expect(client.infer("faulty", faultyJob("abort", 1).inputs)).rejects.toMatchObject({ code: "SERVICE_CRASHED" });
  const library = join(host.data.licenseDir, "files", "identity", "libsignet_identity.so");
  appendFileSync(library, "x");
  const input = { name: "input", datatype: "UINT8", shape: [1], data: Buffer.of(7) };
  for (let n = 0; n < 3; n++) {
    await expect(client.infer("identity", [input])).rejects.toMatchObject({ code: "LIBRARY_CHANGED" });
  }
  await end();
  const { records, faults } = await auditOf(host);
  expect(faults).toEqual([]);
  expect(eventNames(records)).toEqual([
    "audit.began",
    "license.authorized",
    "library.verified",
    "library.verified",
    "server.started",
    "service.ended",
    "library.changed",
    "server.stopped",
  ]);
  expect(records.find(({ event }) => event === "service.ended")).toMatchObject({
    code: "SERVICE_CRASHED",
    by: "server",
    detail: { service: "faulty" },
  });
});

test("a server that does not start records why", async () => {
  const host = await useLicensedHost([identityService]);
  writeFileSync(join(host.data.licenseDir, "license.conf"), "nonsense");
  await expect(start(host)).rejects.toMatchObject({ code: "CONF_DIGEST_MISMATCH" });
  const { records } = await auditOf(host);
  expect(records.at(-1)).toMatchObject({ event: "license.refused", code: "CONF_DIGEST_MISMATCH" });
});

test("a damaged log keeps no server from starting, and what happens then is recorded", async () => {
  const host = await useLicensedHost([identityService]);
  await (await start(host)).stop();
  const file = join(host.data.auditDir, "audit.jsonl");
  const damages = [
    () => writeFileSync(file, readFileSync(file, "utf8").replace("library.verified", "library.vanished")),
    () => writeFileSync(file, "nonsense\n"),
    () => rmSync(file),
    () => rmSync(host.data.auditDir, { recursive: true }),
  ];
  for (const damage of damages) {
    damage();
    await (await start(host)).stop();
    const { records, faults } = await auditOf(host);
    expect(faults).not.toEqual([]);
    expect(eventNames(records).slice(-2)).toEqual(["server.started", "server.stopped"]);
  }
});

test("a log that was deleted with all its anchors is missed, since the host was in use before", async () => {
  const host = await useLicensedHost([identityService]);
  await (await start(host)).stop();
  rmSync(host.data.auditDir, { recursive: true });
  rmSync(host.data.auditAnchorFile);
  await (await start(host)).stop();
  expect((await auditOf(host)).faults).toEqual([
    expect.objectContaining({ what: expect.stringContaining("an older one was removed") }),
  ]);
});

test("a server that is killed leaves a log that is whole, and the next goes on in it", async () => {
  const host = await useLicensedHost([identityService]);
  for (let round = 0; round < 2; round++) {
    const server = useSignetServe(host.data.root, ["--listen", "127.0.0.1:0"]);
    await server.logged("serving");
    await vi.waitFor(async () => expect(eventNames((await auditOf(host)).records).at(-1)).toBe("server.started"), {
      timeout: 10_000,
    });
    server.killGroup("SIGKILL");
    await server.exit();
  }
  const { records, faults } = await auditOf(host);
  expect(faults).toEqual([]);
  expect(eventNames(records).filter((event) => event === "server.started")).toHaveLength(2);
  expect(eventNames(records)).not.toContain("server.stopped");
});
