import { once } from "node:events";
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { type ClientReadableStream, Metadata, type MethodDefinition, type ServiceError } from "@grpc/grpc-js";
import { service } from "grpc-health-check";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { BareClient, failureOf, useBareClient } from "../helpers/bare-client.ts";
import { faultyService, identityService, startLicensedServer, useServer } from "../helpers/licensed-host.ts";
import { faultyRequest } from "../helpers/runner.ts";

type Request = { service: string };
type Response = { status: string };
const { Check, Watch } = service as unknown as Record<"Check" | "Watch", MethodDefinition<Request, Response>>;

/** A probe's question, without a token. */
async function check(client: BareClient, name: string): Promise<string> {
  const answer = await client.send(Check.path, Check.requestSerialize({ service: name }), { token: null });
  return Check.responseDeserialize(answer).status;
}

/** What a watch was told, as it comes. */
function useWatch(client: BareClient, name: string): { stream: ClientReadableStream<Response>; told: string[] } {
  const { path, requestSerialize, responseDeserialize } = Watch;
  const request = { service: name };
  const stream = client.channel.makeServerStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
    request,
    new Metadata(),
  );
  const told: string[] = [];
  stream.on("data", ({ status }: Response) => told.push(status));
  stream.on("error", () => {});
  onTestFinished(() => stream.cancel());
  return { stream, told };
}

describe("grpc.health.v1", () => {
  let host: Awaited<ReturnType<typeof startLicensedServer>>;
  let client: BareClient;

  beforeAll(async () => {
    host = await startLicensedServer([identityService, faultyService]);
    client = new BareClient(host.server.address, host.token);
  });

  afterAll(async () => {
    client?.close();
    await host?.end();
  });

  test.each(["", "identity", "faulty", "inference.GRPCInferenceService"])("says that %j serves", async (name) => {
    expect(await check(client, name)).toBe("SERVING");
  });

  test("does not know a name that is no service", async () => {
    for (const name of ["nobody", "__proto__", "x".repeat(300)]) {
      expect(await failureOf(check(client, name))).toEqual({ status: "NOT_FOUND", code: "SERVICE_NOT_FOUND" });
    }
  });

  test("does not tell the services' names to whoever asks", async () => {
    const list = client.send("/grpc.health.v1.Health/List", Buffer.alloc(0), { token: null });
    expect(await failureOf(list)).toEqual({ status: "UNIMPLEMENTED" });
  });

  test("lets an unknown name be watched, but not one that no service can have", async () => {
    const { told } = useWatch(client, "nobody");
    await expect.poll(() => told).toEqual(["SERVICE_UNKNOWN"]);
    const [error] = (await once(useWatch(client, "x".repeat(300)).stream, "error")) as [ServiceError];
    expect(error.metadata.get("signet-code")).toEqual(["SERVICE_NOT_FOUND"]);
  });

  test("tells a watch that a service crashed and came back, and nothing of other services", async () => {
    const faulty = useWatch(client, "faulty");
    const identity = useWatch(client, "identity");
    const all = useWatch(client, "");
    await expect.poll(() => [faulty.told, identity.told, all.told]).toEqual([["SERVING"], ["SERVING"], ["SERVING"]]);
    expect(await failureOf(client.infer(faultyRequest("abort")))).toMatchObject({ code: "SERVICE_CRASHED" });
    const downAndUp = ["SERVING", "NOT_SERVING", "SERVING"];
    await expect.poll(() => [faulty.told, all.told]).toEqual([downAndUp, downAndUp]);
    expect(identity.told).toEqual(["SERVING"]);
    expect(await check(client, "faulty")).toBe("SERVING");
  });

  test("says NOT_SERVING of a service that is down, as ServerReady and ModelReady do", async () => {
    const host = await useServer([identityService]);
    const client = useBareClient(host.server.address, host.token);
    appendFileSync(join(host.data.licenseDir, "files", "identity", "libsignet_identity.so"), "x");
    const call = client.infer({
      model_name: "identity",
      inputs: [{ name: "input", datatype: "UINT8", shape: [1] }],
      raw_input_contents: [Buffer.of(1)],
    });
    expect(await failureOf(call)).toEqual({ status: "FAILED_PRECONDITION", code: "LIBRARY_CHANGED" });
    for (const name of ["identity", ""]) expect(await check(client, name)).toBe("NOT_SERVING");
    expect(await client.call("ServerLive", {}, { token: null })).toEqual({ live: true });
    expect(await client.call("ServerReady", {}, { token: null })).toEqual({ ready: false });
    expect(await client.call("ModelReady", { name: "identity" })).toEqual({ ready: false });
  });

  test("says NOT_SERVING when the server stops, before its connections end, and ends its watches in good order", async () => {
    const host = await useServer([faultyService]);
    const client = useBareClient(host.server.address, host.token);
    const { stream, told } = useWatch(client, "");
    await expect.poll(() => told).toEqual(["SERVING"]);
    const running = client.infer(faultyRequest("wait", 500));
    await expect.poll(() => host.server.services[0]!.runner.running).toBe(1);
    const ended = once(stream, "status");
    const stopped = host.server.stop();
    await expect.poll(() => told).toEqual(["SERVING", "NOT_SERVING"]);
    await running;
    const [status] = await ended;
    expect(status).toMatchObject({ code: 0 });
    await stopped;
  });
});
