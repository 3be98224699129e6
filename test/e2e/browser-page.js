// What a page does with Signet, through a gRPC-Web library from npm. browser.test.ts serves it and checks what it tells.
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

const facts = await (await fetch("/facts.json")).json();
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, base64Decode(facts.descriptors)));

/** A client as pages have it; the token goes into every call. */
function clientOf(service, token = facts.token) {
  const authorize = (next) => (request) => {
    if (token !== null) request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
  const transport = createGrpcWebTransport({ baseUrl: facts.baseUrl, interceptors: [authorize] });
  return createClient(registry.getService(service), transport);
}

const inference = clientOf("inference.GRPCInferenceService");
const health = clientOf("grpc.health.v1.Health", null);

function request(values, more = {}) {
  return {
    modelName: "floats",
    inputs: [{ name: "input", datatype: "FP32", shape: [BigInt(values.length)] }],
    rawInputContents: [new Uint8Array(new Float32Array(values).buffer)],
    ...more,
  };
}

function floatsIn({ rawOutputContents: [bytes] }) {
  return [...new Float32Array(bytes.slice().buffer)];
}

/** How a call fails: gRPC's number and Signet's code. */
async function failureOf(call) {
  try {
    await call;
    return "no failure";
  } catch (thrown) {
    const error = ConnectError.from(thrown);
    return { status: error.code, code: error.metadata.get("signet-code"), message: error.rawMessage };
  }
}

const steps = {
  health: async () => (await health.check({ service: "floats" })).status,
  metadata: async () => (await inference.modelMetadata({ name: "floats" })).inputs[0].datatype,
  raw: async () => floatsIn(await inference.modelInfer(request([1, 2.5]))),
  typed: async () => {
    const [input] = request([0, 0]).inputs;
    const typed = { ...input, contents: { fp32Contents: [3, -0.5] } };
    return floatsIn(await inference.modelInfer({ modelName: "floats", inputs: [typed] }));
  },
  large: async () => {
    const values = Array.from({ length: 500_000 }, (_, index) => index % 1000);
    const answered = floatsIn(await inference.modelInfer(request(values)));
    return answered.length === values.length && answered.every((value, index) => value === values[index]);
  },
  stream: async () => {
    const responses = [];
    for await (const { inferResponse } of inference.modelStreamInfer(request([7], { id: "a" }))) {
      responses.push({ id: inferResponse.id, values: floatsIn(inferResponse) });
    }
    return responses;
  },
  watch: async () => {
    const controller = new AbortController();
    for await (const { status } of health.watch({ service: "floats" }, { signal: controller.signal })) {
      controller.abort();
      return status;
    }
  },
  trailers: async () => {
    let state;
    await inference.modelInfer(request([1]), {
      onTrailer: (trailers) => {
        state = trailers.get("signet-license-state");
      },
    });
    return state;
  },
  unknown: () => failureOf(inference.modelInfer(request([1], { modelName: "nobody" }))),
  stranger: () => failureOf(clientOf("inference.GRPCInferenceService", null).modelMetadata({ name: "floats" })),
  late: () => failureOf(inference.modelInfer(waiting(), { timeoutMs: 200 })),
  cancelled: async () => {
    const controller = new AbortController();
    const call = failureOf(inference.modelInfer(waiting(), { signal: controller.signal }));
    await fetch("/told/waiting", { method: "POST", body: "true" });
    while ((await fetch("/facts.json").then((answer) => answer.json())).isWaited) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    controller.abort();
    return (await call).status;
  },
  rest: async () => {
    const answer = await fetch(`${facts.baseUrl}/v2/models/nobody`, {
      headers: { authorization: `Bearer ${facts.token}` },
    });
    return { status: answer.status, code: answer.headers.get("signet-code") };
  },
};

/** A call that takes an hour, unless nobody waits for it any more. */
function waiting() {
  return {
    modelName: "faulty",
    inputs: [
      { name: "mode", datatype: "BYTES", shape: [1n], contents: { bytesContents: [new TextEncoder().encode("wait")] } },
      { name: "amount", datatype: "INT64", shape: [1n], contents: { int64Contents: [3_600_000n] } },
    ],
  };
}

const names = location.origin === facts.origin ? Object.keys(steps) : ["raw", "rest"];
for (const name of names) {
  const told = await steps[name]().catch((error) => ({ failed: String(error) }));
  const line = document.createElement("li");
  line.textContent = `${name}: ${JSON.stringify(told)}`;
  document.getElementById("steps").append(line);
  const where = location.origin === facts.origin ? name : `stranger-${name}`;
  await fetch(`/told/${where}`, { method: "POST", body: JSON.stringify(told ?? null) });
}
