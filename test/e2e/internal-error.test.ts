import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { type AuditRecord, readAudit } from "../../src/audit/index.ts";
import type { DataDirectory } from "../../src/config/index.ts";
import { openHostKey } from "../../src/license/index.ts";
import { addToken, auditPlaceOf, readHostLedger } from "../../src/service/index.ts";
import { failureOf, useBareClient } from "../helpers/bare-client.ts";
import { faultyService, useLicensedHost } from "../helpers/licensed-host.ts";
import { faultyRequest } from "../helpers/runner.ts";
import { SignetProcess } from "../helpers/signet-process.ts";

const program = fileURLToPath(new URL("./serve-with-fault.fixture.ts", import.meta.url));

function useFaultyServer(kind: "throws" | "rejects", { root }: DataDirectory): SignetProcess {
  const serve = ["serve", "--data", root, "--log-format", "json", "--listen", "127.0.0.1:0"];
  const child = spawn(process.execPath, ["--disable-sigusr1", program, kind, ...serve], {
    env: { PATH: process.env.PATH },
    stdio: "pipe",
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  return new SignetProcess(child);
}

async function accountsOf(data: DataDirectory) {
  return [...readHostLedger(data, await openHostKey(data.hostDir)).accounts()];
}

async function auditOf(data: DataDirectory) {
  const records: AuditRecord[] = [];
  const { faults } = await readAudit(auditPlaceOf(data, await openHostKey(data.hostDir)), (line) => records.push(line));
  return { records, faults };
}

test.each(["throws", "rejects"] as const)(
  "an internal error (%s) is logged and ends the server with 1: jobs are cut off and charged, all else is in order",
  async (kind) => {
    const { data } = await useLicensedHost([{ ...faultyService, limits: { runs: 1000, concurrency: 2 } }]);
    const grant = { name: "test", role: "client", services: "all", expires: null } as const;
    const { token } = await addToken(data.accessFile, grant);
    const server = useFaultyServer(kind, data);
    const { address } = await server.logged("serving");
    const call = useBareClient(String(address), token.reveal()).infer(faultyRequest("wait", 600_000));
    call.catch(() => {});
    await expect.poll(async () => (await accountsOf(data))[0]?.leased ?? 0).toBeGreaterThan(0);
    server.kill("SIGUSR2");
    expect(await failureOf(call)).toMatchObject({
      status: expect.stringMatching(/^(INTERNAL|UNAVAILABLE|CANCELLED)$/),
    });
    expect(await server.exit()).toBe(1);
    const fatal = await server.logged("internal error; the server ends");
    expect(fatal).toMatchObject({ level: "fatal", err: { message: "a mistake that nobody foresaw" } });
    // Nothing else, such as Node's own words with everything the error has.
    expect(server.stderr.trimEnd().split("\n")).toHaveLength(server.log.length);
    expect(server.stderr).not.toContain("sgn_not-for-logs");
    expect(await accountsOf(data)).toMatchObject([{ runs: 1, leased: 0 }]);
    const { records, faults } = await auditOf(data);
    expect(faults).toEqual([]);
    expect(records.at(-1)).toMatchObject({ event: "server.stopped", code: "INTERNAL" });
  },
);
