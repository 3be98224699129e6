import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { addToken, type Role, readTokens, removeToken } from "../../src/service/index.ts";
import { attacksOn, observed } from "../helpers/attack.ts";
import { BareClient, type BareInferRequest, callByHand, type Failure, failureOf } from "../helpers/bare-client.ts";
import { identityService, startLicensedServer } from "../helpers/licensed-host.ts";

const attack = attacksOn("calls");

const unauthenticated: Failure = { status: "UNAUTHENTICATED", code: "UNAUTHENTICATED" };
const denied: Failure = { status: "PERMISSION_DENIED", code: "PERMISSION_DENIED" };

let host: Awaited<ReturnType<typeof startLicensedServer>>;
let client: BareClient;
/** By their names. */
const tokens = new Map<string, string>();

const grants: [name: string, role: Role, services: "all" | string[]][] = [
  ["viewer", "viewer", "all"],
  ["reader-only", "client", ["reader"]],
  ["writer-only", "client", ["writer"]],
  ["no-service", "client", []],
  ["operator", "operator", ["reader"]],
  ["admin", "admin", []],
];

beforeAll(async () => {
  host = await startLicensedServer([
    { ...identityService, name: "reader" },
    { ...identityService, name: "writer" },
  ]);
  client = new BareClient(host.server.address, null);
  for (const [name, role, services] of grants) tokens.set(name, await token(name, role, services));
  // The server looks at the file about once a second.
  const last = tokens.get("admin")!;
  await vi.waitFor(() => client.call("ServerMetadata", {}, { token: last }), { timeout: 10_000 });
});

afterAll(async () => {
  client?.close();
  await host?.end();
});

async function token(name: string, role: Role, services: "all" | string[]): Promise<string> {
  return (await addToken(host.data.accessFile, { name, role, services, expires: null })).token.reveal();
}

function request(service: string): BareInferRequest {
  return {
    model_name: service,
    inputs: [{ name: "input", datatype: "UINT8", shape: [1] }],
    raw_input_contents: [Buffer.of(7)],
  };
}

function outcome(service: string, name: string): Promise<"answered" | Failure> {
  const call = client.infer(request(service), { token: tokens.get(name)! });
  return call.then(
    () => "answered" as const,
    (error) => failureOf(Promise.reject(error)),
  );
}

describe("without a token", () => {
  test("only life and readiness are told", attack("calls without a token", "every method"), async () => {
    await client.call("ServerLive");
    await client.call("ServerReady");
    for (const method of ["ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig"]) {
      expect(await failureOf(client.call(method, { name: "reader" }))).toEqual(unauthenticated);
    }
    expect(await failureOf(client.infer(request("reader")))).toEqual(unauthenticated);
  });

  test(
    "an unknown service looks like a known one",
    attack("looks for services without a token", "known and unknown names"),
    async () => {
      expect(await failureOf(client.call("ModelMetadata", { name: "nobody" }))).toEqual(unauthenticated);
      expect(await failureOf(client.infer(request("nobody")))).toEqual(unauthenticated);
    },
  );

  test(
    "no other form of authorization helps",
    attack("authenticates in another way", "Basic, two tokens, no token"),
    async () => {
      const path = "/inference.GRPCInferenceService/ServerMetadata";
      const empty = Buffer.alloc(5);
      for (const authorization of [
        "",
        "Bearer",
        "Bearer ",
        `Basic ${host.token}`,
        host.token,
        `Bearer ${host.token}x`,
      ]) {
        expect(await callByHand(host.server.address, path, empty, { authorization })).toEqual(unauthenticated);
      }
      const good = await callByHand(host.server.address, path, empty, { authorization: `Bearer ${host.token}` });
      expect(good).toEqual({ status: "OK" });
    },
  );
});

describe("a token", () => {
  test.each([
    ["viewer", denied, denied],
    ["reader-only", "answered", denied],
    ["writer-only", denied, "answered"],
    ["no-service", denied, denied],
    ["operator", "answered", denied],
  ])(
    "of %s opens what it was granted",
    attack.each("calls with another role's token"),
    async (name, reader, writer) => {
      expect(await outcome("reader", name)).toEqual(reader);
      expect(await outcome("writer", name)).toEqual(writer);
      for (const method of ["ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig"]) {
        await client.call(method, { name: "reader" }, { token: tokens.get(name)! });
      }
    },
  );

  test(
    "that does not grant a service does not tell whether there is one",
    attack("uses another service's grant", "reader's token at writer"),
    async () => {
      expect(await outcome("nobody", "reader-only")).toEqual(denied);
      expect(await outcome("nobody", "admin")).toEqual({ status: "NOT_FOUND", code: "SERVICE_NOT_FOUND" });
    },
  );

  test("of an administrator opens every service", async () => {
    for (const service of ["reader", "writer"]) expect(await outcome(service, "admin")).toBe("answered");
  });

  test("refused costs no run", attack("uses up runs by calls that are refused", "tokens without a grant"), async () => {
    const runsLeft = () => host.server.services.map(({ authorization }) => authorization.runsLeft);
    const before = runsLeft();
    await outcome("reader", "viewer");
    await outcome("writer", "reader-only");
    expect(runsLeft()).toEqual(before);
    observed("no run is charged");
  });

  test(
    "that is removed while the server runs opens nothing any more, and the others go on",
    attack("uses a token that was removed", "while the server runs"),
    async () => {
      const text = await token("short-lived", "client", "all");
      const call = () =>
        client.infer(request("reader"), { token: text }).then(
          () => "answered",
          (error) => error.metadata.get("signet-code")[0],
        );
      await expect.poll(call).toBe("answered");
      const { id } = readTokens(host.data.accessFile).find(({ name }) => name === "short-lived")!;
      await removeToken(host.data.accessFile, id);
      await expect.poll(call).toBe("UNAUTHENTICATED");
      expect(await outcome("reader", "admin")).toBe("answered");
    },
  );
});
