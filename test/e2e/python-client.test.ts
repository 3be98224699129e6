import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { addToken } from "../../src/service/index.ts";
import { identityService, startLicensedServer } from "../helpers/licensed-host.ts";
import { pythonClients, runPython } from "../helpers/python.ts";

const clients = await pythonClients(join(import.meta.dirname, "python-requirements.txt"));
const reason = "missing" in clients ? ` (skipped, there are no ${clients.missing})` : "";

const services = [
  {
    ...identityService,
    name: "floats",
    config: { datatype: "FP32", shape: [-1] },
    limits: { concurrency: 2 },
    parameters: { labels: "cat\ndog" },
  },
  { ...identityService, name: "words", config: { datatype: "BYTES", shape: [-1] }, limits: {} },
];
const longs = { ...identityService, name: "longs", config: { datatype: "INT64", shape: [-1] }, limits: {} };

const wires = [
  { wire: "gRPC", script: "python-client.py", services },
  { wire: "REST", script: "python-http-client.py", services: [...services, longs] },
];

/** What a script does in a mode, so that it cannot pass by doing nothing. */
function namesIn(script: string, mode: "aio" | "sync"): string[] {
  const text = readFileSync(script, "utf8");
  const defined = [...text.matchAll(mode === "aio" ? /^async def (\w+)\(client/gm : /^def (\w+)\(client/gm)];
  return defined.map((match) => match[1]!);
}

describe.skipIf("missing" in clients)(`Triton's Python clients from PyPI, unmodified${reason}`, () => {
  describe.each(wires)("over $wire", ({ wire, script: name, services }) => {
    const script = join(import.meta.dirname, name);
    let host: Awaited<ReturnType<typeof startLicensedServer>>;
    let operator: string;

    beforeAll(async () => {
      const config = wire === "REST" ? { http: { listen: "127.0.0.1:0" } } : {};
      host = await startLicensedServer(services, { sharedMemory: true, ...config });
      const grant = { name: "operator", role: "operator", services: "all", expires: null } as const;
      operator = (await addToken(host.data.accessFile, grant)).token.reveal();
    });

    afterAll(async () => {
      await host?.end();
    });

    test.each(["sync", "aio"] as const)("do all that their users do with them, %s", async (mode) => {
      const { python } = clients as { python: string };
      const address = host.server.httpAddress ?? host.server.address;
      const done = await runPython(python, script, [address, host.token, operator, mode]);
      expect(done).toEqual(namesIn(script, mode));
      expect(done.length).toBeGreaterThan(1);
    });
  });
});
