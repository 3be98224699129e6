import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { addToken, type Role } from "../../src/service/index.ts";
import { BareClient } from "../helpers/bare-client.ts";
import { startLicensedServer } from "../helpers/licensed-host.ts";
import { pythonClients } from "../helpers/python.ts";
import type { ConformanceCase, Outcome, Step, Tokens, Wire, WireName } from "./case.ts";
import { SHARED_KEY } from "./cases/operating.ts";
import { areas, wiresOf } from "./cases.ts";
import { differences } from "./differences.ts";
import { grpcWire, webWire } from "./grpc-wires.ts";
import { pythonWire } from "./python-wire.ts";
import { restWire } from "./rest-wire.ts";
import { conformanceServices, modelOfTwoOutputs } from "./services.ts";
import { floats, input } from "./tensors.ts";

const clients = await pythonClients(join(import.meta.dirname, "..", "e2e", "python-requirements.txt"));
/** Twenty processes start at once, maybe on a machine that has other things to do. */
const START_TIMEOUT_MS = 400_000;
const all = areas.flatMap(({ cases }) => cases);
const object = `/dev/shm${SHARED_KEY}`;

beforeAll(() => {
  writeFileSync(object, Buffer.concat([floats(1, 2, 3), Buffer.alloc(52)]), { mode: 0o600 });
});

afterAll(() => {
  rmSync(object, { force: true });
});

const transports: readonly { transport: string; wires: readonly WireName[] }[] = [
  { transport: "signet", wires: ["gRPC", "gRPC-Web", "REST", "Python gRPC", "Python HTTP"] },
  { transport: "node", wires: ["gRPC on node"] },
];

describe.each(transports)("a server with transport: $transport", ({ transport, wires }) => {
  const directory = mkdtempSync(join(tmpdir(), "signet-conformance-"));
  let host: Awaited<ReturnType<typeof startLicensedServer>>;
  let tokens: Tokens;

  beforeAll(async () => {
    writeFileSync(join(directory, "two.onnx"), modelOfTwoOutputs());
    const defaults = { slotMiB: 1, startTimeoutMs: START_TIMEOUT_MS };
    const config = { transport, http: { listen: "127.0.0.1:0" }, sharedMemory: true, defaults };
    host = await startLicensedServer(conformanceServices(directory), config);
    const add = async (name: string, role: Role, services: "all" | string[] = "all") => {
      const { token } = await addToken(host.data.accessFile, { name, role, services, expires: null });
      return token.reveal();
    };
    tokens = {
      client: host.token,
      viewer: await add("viewer", "viewer"),
      limited: await add("limited", "client", ["scalar"]),
      operator: await add("operator", "operator"),
      nobody: null,
      stranger: `${host.token.slice(0, -1)}${host.token.endsWith("A") ? "B" : "A"}`,
    };
    const client = new BareClient(host.server.address, tokens.operator);
    await vi.waitFor(() => client.call("LogSettings", { settings: {} }), { timeout: 10_000 });
    // The one run that its license has.
    await client.infer({
      model_name: "spent",
      inputs: [{ ...input("FP32", [1]) }],
      raw_input_contents: [floats(1)],
    });
    client.close();
  }, START_TIMEOUT_MS);

  afterAll(async () => {
    await host?.end();
    rmSync(directory, { recursive: true, force: true });
  });

  async function open(name: WireName, cases: readonly ConformanceCase[]): Promise<Wire> {
    const { address, httpAddress } = host.server;
    if (name === "gRPC" || name === "gRPC on node") return grpcWire(address, tokens);
    if (name === "gRPC-Web") return webWire(httpAddress!, tokens);
    if (name === "REST") return restWire(httpAddress!, tokens);
    const { python } = clients as { python: string };
    return pythonWire(name, python, { address: name === "Python gRPC" ? address : httpAddress!, tokens, cases });
  }

  describe.each(wires)("over %s", (name) => {
    const cases = all.filter((tried) => wiresOf(tried).includes(name));
    const isPython = name === "Python gRPC" || name === "Python HTTP";
    let wire: Wire;

    describe.skipIf(isPython && "missing" in clients)(`has ${cases.length} cases, and`, () => {
      beforeAll(async () => {
        wire = await open(name, cases);
      });

      afterAll(() => wire?.close?.());

      // Not test.each, which cuts long names short.
      for (const tried of cases) {
        test(tried.name, async () => {
          const outcomes = await wire.perform(tried);
          const found = tried.steps.map((step, index) => judge(name, step, outcomes[index]!));
          expect(found).toEqual(tried.steps.map(() => []));
        });
      }
    });
  });
});

/** What is not as the table says; nothing where all is. */
function judge(wire: WireName, { answer, fails }: Step, outcome: Outcome): string[] {
  if (fails === undefined) {
    if (outcome.fails !== undefined) return [`failed: ${JSON.stringify(outcome.fails)}`];
    return differences(answer ?? {}, outcome.answer);
  }
  if (outcome.fails === undefined) return [`succeeded: ${JSON.stringify(outcome.answer)}`];
  const { status, code, words = "" } = outcome.fails;
  if (fails.words !== undefined && !words.includes(fails.words)) return [`said: ${words}`];
  const isHttp = wire === "REST" || wire === "Python HTTP";
  const expected = { status: isHttp ? fails.http : fails.grpc, code: code === null ? null : fails.code };
  // Python's clients tell no code, and a client may be the first to find a call late.
  const found = fails.code === null ? { status, code: expected.code } : { status, code };
  return differences(expected, found, "failure");
}
