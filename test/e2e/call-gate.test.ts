import { readFileSync } from "node:fs";
import { connect } from "node:http2";
import type { ServiceError } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { type AuditRecord, readAudit } from "../../src/audit/index.ts";
import { openHostKey } from "../../src/license/index.ts";
import { addToken, auditPlaceOf, type CallLimits } from "../../src/service/index.ts";
import { attacksOn } from "../helpers/attack.ts";
import { BareClient, type BareInferRequest, callByHand, failureOf, frame } from "../helpers/bare-client.ts";
import { identityService, startLicensedServer } from "../helpers/licensed-host.ts";

const attack = attacksOn("the server's time and memory");

const INFER = "/inference.GRPCInferenceService/ModelInfer";
const unauthenticated = { status: "UNAUTHENTICATED", code: "UNAUTHENTICATED" };

let host: Awaited<ReturnType<typeof startLicensedServer>>;
let client: BareClient;

beforeAll(async () => {
  host = await startLicensedServer([identityService]);
  client = new BareClient(host.server.address, host.token);
});

afterAll(async () => {
  client?.close();
  await host?.end();
});

const request: BareInferRequest = {
  model_name: "identity",
  inputs: [{ name: "input", datatype: "UINT8", shape: [1] }],
  raw_input_contents: [Buffer.of(7)],
};

/** A token that the running server knows already. */
async function useToken(name: string, limits: Partial<CallLimits>): Promise<string> {
  const all = { callsPerSecond: null, burst: null, concurrent: null, ...limits };
  const grant = { name, role: "client", services: "all", expires: null, limits: all } as const;
  const { token } = await addToken(host.data.accessFile, grant);
  const text = token.reveal();
  // A second token, so that waiting for the server to see both spends nothing of the first.
  const marker = await addToken(host.data.accessFile, { ...grant, name: `${name}-marker` });
  const settings = { token: marker.token.reveal() };
  const isKnown = (error: ServiceError | null) => error?.code !== 16;
  await vi.waitFor(
    async () => {
      const failure = await client.call("ServerMetadata", {}, settings).then(
        () => null,
        (error) => error,
      );
      expect(isKnown(failure)).toBe(true);
    },
    { timeout: 10_000 },
  );
  return text;
}

/** Sends the headers of a call and nothing else; what comes back is all the server had to go by. */
function beginCall(headers: Record<string, string>) {
  const session = connect(`http://${host.server.address}`);
  onTestFinished(() => session.destroy());
  const stream = session.request(
    { ":method": "POST", ":path": INFER, "content-type": "application/grpc", te: "trailers", ...headers },
    { endStream: false },
  );
  stream.on("error", () => undefined);
  const answer = new Promise((resolve) => stream.on("response", (received) => resolve(received["signet-code"])));
  // A ping may overtake headers that wait to be sent with it, but not those that were sent before it.
  const arrived = new Promise<void>((resolve) => {
    stream.on("ready", () => session.ping(() => session.ping(() => resolve())));
  });
  return { stream, answer, arrived };
}

async function audited(): Promise<AuditRecord[]> {
  const records: AuditRecord[] = [];
  await readAudit(auditPlaceOf(host.data, await openHostKey(host.data.hostDir)), (record) => records.push(record));
  return records;
}

test(
  "a stranger is refused by the headers of a call, before anything of its message is there",
  attack("has the server wait for a message", "HEADERS alone, without a token"),
  async () => {
    expect(await beginCall({}).answer).toBe("UNAUTHENTICATED");
    expect(await beginCall({ authorization: "Bearer sgn_nonsense" }).answer).toBe("UNAUTHENTICATED");
  },
);

test.each([
  "/inference.GRPCInferenceService/ServerLive",
  "/inference.GRPCInferenceService/ServerReady",
  "/grpc.health.v1.Health/Check",
  "/grpc.health.v1.Health/Watch",
])(
  "%s, which is open to strangers, takes no message that is worth keeping",
  attack.each("announces a large message without a token"),
  async (path) => {
    const failure = await callByHand(host.server.address, path, frame(Buffer.alloc(0), { length: 2 ** 20 }));
    expect(failure).toEqual({ status: "RESOURCE_EXHAUSTED" });
  },
);

test(
  "a caller beyond its rate is refused, and told when to come again",
  attack("calls faster than it may", "3 calls with a burst of 2"),
  async () => {
    const token = await useToken("rated", { callsPerSecond: 0.01, burst: 2 });
    await client.infer(request, { token });
    await client.infer(request, { token });
    const error: ServiceError = await client.infer(request, { token }).catch((thrown) => thrown);
    expect(await failureOf(Promise.reject(error))).toEqual({ status: "RESOURCE_EXHAUSTED", code: "RATE_LIMITED" });
    expect(Number(error.metadata.get("grpc-retry-pushback-ms")[0])).toBeGreaterThan(1000);
    await client.infer(request); // others go on
  },
);

test(
  "a caller with as many calls as it may have is refused one more, until one of them has ended",
  attack("begins more calls than it may", "concurrent: 1, a call that sends nothing"),
  async () => {
    const token = await useToken("few", { concurrent: 1 });
    const call = () =>
      client.infer(request, { token }).then(
        () => "answered",
        (error) => error.metadata.get("signet-code")[0],
      );
    const { stream, arrived } = beginCall({ authorization: `Bearer ${token}` });
    await arrived;
    expect(await call()).toBe("TOO_MANY_CALLS");
    stream.close();
    await expect.poll(call).toBe("answered");
    expect(await call()).toBe("answered"); // a place is given back by calls that end by themselves too
  },
);

test("what was refused is in the audit log, counted, with who and from where", async () => {
  const { token } = await addToken(host.data.accessFile, {
    name: "nothing-granted",
    role: "client",
    services: [],
    expires: null,
  });
  const settings = { token: token.reveal() };
  await vi.waitFor(() => client.call("ServerMetadata", {}, settings), { timeout: 10_000 });
  for (let n = 0; n < 5; n++) await failureOf(client.infer(request, settings));
  expect(await failureOf(client.infer(request, { token: null }))).toEqual(unauthenticated);
  const refused = async () => (await audited()).filter(({ event }) => event === "call.refused");
  await expect
    .poll(async () => {
      const denied = (await refused()).filter(({ detail }) => detail?.identity === "nothing-granted");
      return denied.reduce((sum, { detail }) => sum + Number(detail?.calls), 0);
    })
    .toBe(5);
  expect(await refused()).toEqual(
    expect.arrayContaining([
      expect.objectContaining({
        code: "PERMISSION_DENIED",
        detail: { identity: "nothing-granted", peer: "127.0.0.1", calls: expect.any(Number) },
      }),
      expect.objectContaining({
        code: "UNAUTHENTICATED",
        detail: { identity: null, peer: "127.0.0.1", calls: expect.any(Number) },
      }),
    ]),
  );
});

test("the audit log has the start of the server, what it verified, and its license", async () => {
  const events = (await audited()).map(({ event }) => event);
  expect(events.slice(0, 4)).toEqual(["audit.began", "license.authorized", "library.verified", "server.started"]);
});

test("the run log has the address of the client", async () => {
  await client.infer(request);
  await expect
    .poll(() =>
      readFileSync(host.data.runLogFile, "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).peer),
    )
    .toContain("127.0.0.1");
});
