import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { addToken } from "../../src/service/index.ts";
import { identityService, startLicensedServer } from "../helpers/licensed-host.ts";
import { pythonClients, runPython } from "../helpers/python.ts";

const script = join(import.meta.dirname, "python-client.py");
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

/** What the script does in a mode, so that it cannot pass by doing nothing. */
function namesIn(mode: "aio" | "sync"): string[] {
  const text = readFileSync(script, "utf8");
  const defined = [...text.matchAll(mode === "aio" ? /^async def (\w+)\(client/gm : /^def (\w+)\(client/gm)];
  return defined.map((match) => match[1]!);
}

describe.skipIf("missing" in clients)(`Triton's Python client from PyPI, unmodified${reason}`, () => {
  let host: Awaited<ReturnType<typeof startLicensedServer>>;
  let operator: string;

  beforeAll(async () => {
    host = await startLicensedServer(services, { sharedMemory: true });
    const added = await addToken(host.data.accessFile, {
      name: "operator",
      role: "operator",
      services: "all",
      expires: null,
    });
    operator = added.token.reveal();
  });

  afterAll(async () => {
    await host?.end();
  });

  test.each(["sync", "aio"] as const)("does all that its users do with it, %s", async (mode) => {
    const { python } = clients as { python: string };
    const done = await runPython(python, script, [host.server.address, host.token, operator, mode]);
    expect(done).toEqual(namesIn(mode));
    expect(done.length).toBeGreaterThan(2);
  });
});
