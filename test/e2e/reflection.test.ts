import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Client, credentials, Metadata, type MethodDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { foreignTools, runTool } from "../helpers/foreign-tools.ts";
import { identityService, startLicensedServer, useServer } from "../helpers/licensed-host.ts";

const tools = await foreignTools();
const reason = "missing" in tools ? ` (skipped, there is no ${tools.missing})` : "";
const grpcurl = "missing" in tools ? "" : tools.grpcurl;

describe.skipIf("missing" in tools)(`grpcurl, unmodified${reason}`, () => {
  let host: Awaited<ReturnType<typeof startLicensedServer>>;

  beforeAll(async () => {
    host = await startLicensedServer([identityService], { reflection: true });
  });

  afterAll(async () => {
    await host?.end();
  });

  const ask = (...args: string[]) => {
    return runTool(grpcurl, ["-plaintext", "-H", `authorization: Bearer ${host.token}`, ...args]);
  };

  test("lists what there is to call", async () => {
    const { out, exit } = await ask(host.server.address, "list");
    expect([exit, out.trim().split("\n")]).toEqual([
      0,
      [
        ...["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"],
        ...["inference.GRPCInferenceService", "signet.v1.AdminService", "signet.v1.JobService"],
      ],
    ]);
    const { out: methods } = await ask(host.server.address, "list", "inference.GRPCInferenceService");
    expect(methods.trim().split("\n")).toHaveLength(20);
  });

  test("describes every service, message and field", async () => {
    const { out, exit } = await ask(host.server.address, "describe");
    expect(exit).toBe(0);
    expect(out).toContain("rpc ModelInfer ( .inference.ModelInferRequest ) returns ( .inference.ModelInferResponse );");
    const { out: message } = await ask(host.server.address, "describe", "inference.ModelInferRequest.InferInputTensor");
    expect(message).toContain("map<string, .inference.InferParameter> parameters = 4;");
    expect(out).toContain("rpc DoJobs ( .signet.v1.DoJobsRequest ) returns ( .signet.v1.DoJobsResponse );");
    expect(out).toContain(
      "rpc TailLogs ( .signet.v1.TailLogsRequest ) returns ( stream .signet.v1.TailLogsResponse );",
    );
    const { out: line } = await ask(host.server.address, "describe", "signet.v1.LogLine");
    expect(line).toContain("repeated string job_ids = 7;");
    const { out: method } = await ask(host.server.address, "describe", "inference.GRPCInferenceService.ModelReady");
    expect(method).toContain("inference.ModelReadyRequest");
  });

  test("calls what it learned of, with a whole inference", async () => {
    const bytes = Buffer.from([1, 2, 3]).toString("base64");
    const request = {
      model_name: "identity",
      inputs: [{ name: "input", datatype: "UINT8", shape: [3] }],
      raw_input_contents: [bytes],
    };
    const called = await ask(
      "-d",
      JSON.stringify(request),
      host.server.address,
      "inference.GRPCInferenceService/ModelInfer",
    );
    expect(called.exit).toBe(0);
    expect(JSON.parse(called.out)).toMatchObject({ model_name: "identity", raw_output_contents: [bytes] });
    const health = await ask("-d", "{}", host.server.address, "grpc.health.v1.Health/Check");
    expect(JSON.parse(health.out)).toEqual({ status: "SERVING" });
  });

  test.each(["nothing.Here", "constructor", "__proto__", "inference.ModelInferRequest.nothing"])(
    "is told that there is no %s",
    async (symbol) => {
      const { out, exit } = await ask(host.server.address, "describe", symbol);
      expect(exit).not.toBe(0);
      expect(out).toMatch(/not found|no symbol/i);
    },
  );

  test("learns nothing without a token", async () => {
    const { out, exit } = await runTool(grpcurl, ["-plaintext", host.server.address, "list"]);
    expect(exit).not.toBe(0);
    expect(out).toContain("authorization");
    expect(out).not.toContain("inference.");
  });

  test("learns nothing where reflection is not turned on", async () => {
    const { server, token } = await useServer([identityService]);
    const { out, exit } = await runTool(grpcurl, [
      ...["-plaintext", "-H", `authorization: Bearer ${token}`, server.address, "list"],
    ]);
    expect(exit).not.toBe(0);
    expect(out).toContain("does not support the reflection API");
  });
});

test("v1alpha answers every question in its turn, however many there are", async () => {
  const { server, token } = await useServer([identityService], { reflection: true });
  const file = fileURLToPath(new URL("../../proto/reflection.proto", import.meta.url));
  const service = loadSync(file, { keepCase: true })["grpc.reflection.v1.ServerReflection"];
  const { requestSerialize, responseDeserialize, path } = (
    service as unknown as Record<string, MethodDefinition<object, Answer>>
  ).ServerReflectionInfo!;
  const client = new Client(server.address, credentials.createInsecure());
  onTestFinished(() => client.close());
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  const alpha = path.replace(".v1.", ".v1alpha.");
  const stream = client.makeBidiStreamRequest(alpha, requestSerialize, responseDeserialize, metadata);
  const questions = 2000; // 20 MB of answers
  for (let question = 0; question < questions; question++) {
    stream.write({ host: `${question}`, file_containing_symbol: "inference.GRPCInferenceService" });
  }
  stream.end();
  const hosts: string[] = [];
  stream.on("data", ({ valid_host, file_descriptor_response }: Answer) => {
    expect(file_descriptor_response?.file_descriptor_proto).toHaveLength(1);
    hosts.push(valid_host);
  });
  await once(stream, "end");
  expect(hosts).toEqual(Array.from({ length: questions }, (_, question) => `${question}`));
});

interface Answer {
  readonly valid_host: string;
  readonly file_descriptor_response?: { readonly file_descriptor_proto: readonly Buffer[] };
}
