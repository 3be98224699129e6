import { randomUUID } from "node:crypto";
import { readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { addToken, type Role } from "../../src/service/index.ts";
import { attacksOn } from "../helpers/attack.ts";
import { BareClient, type BareInferRequest, failureOf, useBareClient } from "../helpers/bare-client.ts";
import { BareStream } from "../helpers/bare-stream.ts";
import { identityService, startLicensedServer, useServer } from "../helpers/licensed-host.ts";

const attack = attacksOn("calls");

const services = [
  { ...identityService, config: { datatype: "FP32", shape: [-1] }, limits: { runs: 1000, concurrency: 2 } },
  { ...identityService, name: "kept", config: { datatype: "FP32", shape: [-1] }, limits: { runs: 1, concurrency: 1 } },
  { ...identityService, name: "words", config: { datatype: "BYTES", shape: [-1] }, limits: {} },
  {
    ...identityService,
    name: "labeled",
    config: { datatype: "FP32", shape: [3] },
    limits: {},
    parameters: { labels: "cat\ndog\n" },
  },
];

let host: Awaited<ReturnType<typeof startLicensedServer>>;
let client: BareClient;

beforeAll(async () => {
  host = await startLicensedServer(services, { sharedMemory: true, services: { kept: { responseCache: true } } });
  client = new BareClient(host.server.address, host.token);
});

afterAll(async () => {
  client?.close();
  await host?.end();
});

/** An object in the real /dev/shm, as any program of this user makes one. */
function useObject(bytes: Uint8Array) {
  const name = `signet-test-${randomUUID()}`;
  const path = `/dev/shm/${name}`;
  writeFileSync(path, bytes, { mode: 0o600 });
  onTestFinished(() => rmSync(path, { force: true }));
  return { key: `/${name}`, read: () => readFileSync(path), grow: (bytes: number) => truncateSync(path, bytes) };
}

async function useRegion(bytes: Uint8Array, more: object = {}) {
  const object = useObject(bytes);
  const name = object.key.slice(1);
  await client.call("SystemSharedMemoryRegister", {
    name,
    key: object.key,
    offset: 0,
    byte_size: bytes.length,
    ...more,
  });
  return { ...object, name };
}

function floats(...values: number[]): Buffer {
  return Buffer.from(new Float32Array(values).buffer);
}

function inRegion(region: string, byteSize: number, offset = 0) {
  return {
    shared_memory_region: { string_param: region },
    shared_memory_byte_size: { int64_param: byteSize },
    ...(offset === 0 ? {} : { shared_memory_offset: { int64_param: offset } }),
  };
}

function request(elements: number, parameters: object, more: Partial<BareInferRequest> = {}): BareInferRequest {
  return {
    model_name: "identity",
    inputs: [{ name: "input", datatype: "FP32", shape: [elements], parameters }],
    ...more,
  };
}

describe("tensors in shared memory", () => {
  test("are the same to the cache of answers as those in messages", async () => {
    const bytes = floats(1, 2);
    const input = await useRegion(bytes);
    const output = await useRegion(Buffer.alloc(16));
    const places = {
      inputs: [{ name: "input", datatype: "FP32", shape: [2], parameters: inRegion(input.name, 8) }],
      outputs: [{ name: "output", parameters: inRegion(output.name, 8, 8) }],
    };
    const inMessage = { inputs: [{ name: "input", datatype: "FP32", shape: [2] }], raw_input_contents: [bytes] };
    await client.infer({ model_name: "kept", ...inMessage });
    // There is no run left for any of these.
    await client.infer({ model_name: "kept", ...places });
    expect(output.read().subarray(8)).toEqual(bytes);
    const { raw_output_contents } = await client.infer({ model_name: "kept", inputs: places.inputs });
    expect(raw_output_contents).toEqual([bytes]);
    expect(
      await failureOf(client.infer({ model_name: "kept", ...inMessage, raw_input_contents: [floats(1, 3)] })),
    ).toEqual({
      status: "RESOURCE_EXHAUSTED",
      code: "LICENSE_RUNS_EXHAUSTED",
    });
  });

  test("are taken from it and put into it, and the message carries none of their bytes", async () => {
    const { name, read } = await useRegion(Buffer.concat([floats(1, 2, 3), Buffer.alloc(100)]));
    const outputs = [{ name: "output", parameters: inRegion(name, 64, 32) }];
    const response = await client.infer(request(3, inRegion(name, 12), { outputs }));
    expect(response.raw_output_contents).toEqual([Buffer.alloc(0)]);
    expect(response.outputs).toMatchObject([
      {
        ...{ name: "output", datatype: "FP32", shape: ["3"] },
        parameters: { shared_memory_region: { string_param: name }, shared_memory_byte_size: { int64_param: "12" } },
      },
    ]);
    expect(read().subarray(32, 44)).toEqual(floats(1, 2, 3));
    expect(read().subarray(44)).toEqual(Buffer.alloc(68));
  });

  test("may be on one side only", async () => {
    const { name, read } = await useRegion(floats(5, 6));
    expect((await client.infer(request(2, inRegion(name, 8)))).raw_output_contents).toEqual([floats(5, 6)]);
    const outputs = [{ name: "output", parameters: inRegion(name, 8) }];
    await client.infer(request(2, {}, { outputs, raw_input_contents: [floats(7, 8)] }));
    expect(read()).toEqual(floats(7, 8));
  });

  test("of BYTES are checked like those of a message", async () => {
    const words = Buffer.from("\x02\0\0\0ab\x01\0\0\0c", "latin1");
    const { name } = await useRegion(words);
    const inputs = [{ name: "input", datatype: "BYTES", shape: [2], parameters: inRegion(name, words.length) }];
    expect((await client.infer({ model_name: "words", inputs })).raw_output_contents).toEqual([words]);
    const wrong = [{ ...inputs[0]!, parameters: inRegion(name, words.length - 1) }];
    expect(await failureOf(client.infer({ model_name: "words", inputs: wrong }))).toMatchObject({
      code: "REQUEST_MALFORMED",
    });
  });

  test("of a stream too", async () => {
    const { name } = await useRegion(floats(1, 2));
    const stream = new BareStream(client, host.token);
    stream.send({ ...request(2, inRegion(name, 8)), id: "there" });
    stream.send({ ...request(2, inRegion("nowhere", 8)), id: "not there" });
    expect(await stream.end()).toEqual({ status: "OK" });
    expect(stream.responses[0]!.infer_response.raw_output_contents).toEqual([floats(1, 2)]);
    expect(stream.responses[1]!.infer_response.parameters.signet_code).toMatchObject({
      string_param: "SHARED_MEMORY_NOT_FOUND",
    });
  });

  test("that do not fit are refused before anything is charged, as far as that can be known", async () => {
    const { name } = await useRegion(floats(1, 2, 3));
    const before = host.server.services[0]!.authorization.runsLeft;
    const places = [inRegion(name, 13), inRegion(name, 12, 4), inRegion(name, 8)];
    for (const parameters of places) {
      expect(await failureOf(client.infer(request(3, parameters)))).toMatchObject({ status: "INVALID_ARGUMENT" });
    }
    const outputs = [{ name: "output", parameters: inRegion("nowhere", 12) }];
    expect(await failureOf(client.infer(request(3, inRegion(name, 12), { outputs })))).toMatchObject({
      status: "NOT_FOUND",
    });
    expect(host.server.services[0]!.authorization.runsLeft).toBe(before);
    const fixed = [{ name: "output", parameters: inRegion(name, 8) }];
    const inputs = [{ name: "input", datatype: "FP32", shape: [3] }];
    const call = client.infer({ model_name: "labeled", inputs, outputs: fixed, raw_input_contents: [floats(1, 2, 3)] });
    expect(await failureOf(call)).toMatchObject({ code: "REQUEST_MALFORMED" });
  });

  test(
    "larger than a job may be are refused before a byte of them is read",
    attack("names more shared memory than there is memory", "4 inputs of a sparse object of 8 GiB, one call"),
    async () => {
      const { name, grow } = await useRegion(floats(1));
      grow(2 ** 33);
      await client.call("SystemSharedMemoryRegister", { name: "sparse", key: name, byte_size: 2 ** 33 });
      const before = process.memoryUsage.rss();
      const input = { name: "input", datatype: "FP32", shape: [2 ** 31], parameters: inRegion("sparse", 2 ** 33) };
      const call = client.infer({ model_name: "identity", inputs: [input, input, input, input] });
      expect(await failureOf(call)).toEqual({ status: "RESOURCE_EXHAUSTED", code: "REQUEST_TOO_LARGE" });
      expect(process.memoryUsage.rss() - before).toBeLessThan(2 ** 30);
      await client.call("SystemSharedMemoryUnregister", { name: "sparse" });
    },
  );

  test("that come out larger than their place fail the call and are not written", async () => {
    const { name, read } = await useRegion(floats(1, 2, 3));
    const outputs = [{ name: "output", parameters: inRegion(name, 4) }];
    const call = client.infer(request(3, {}, { outputs, raw_input_contents: [floats(7, 8, 9)] }));
    expect(await failureOf(call)).toEqual({ status: "INVALID_ARGUMENT", code: "SHARED_MEMORY_INVALID" });
    expect(read()).toEqual(floats(1, 2, 3));
  });
});

describe("a region", () => {
  test("is listed for its owner and gone when it is unregistered", async () => {
    const { name, key } = await useRegion(floats(1, 2), { offset: 4, byte_size: 4 });
    expect(await client.call("SystemSharedMemoryStatus", { name })).toEqual({
      regions: { [name]: { name, key, offset: "4", byte_size: "4" } },
    });
    await client.call("SystemSharedMemoryUnregister", { name });
    const gone = { status: "NOT_FOUND", code: "SHARED_MEMORY_NOT_FOUND" };
    expect(await failureOf(client.call("SystemSharedMemoryStatus", { name }))).toEqual(gone);
    expect(await failureOf(client.infer(request(1, inRegion(name, 4))))).toEqual(gone);
    await client.call("SystemSharedMemoryUnregister"); // all, as some clients begin
  });

  test.each<[Role, boolean]>([
    ["viewer", false],
    ["client", true],
    ["operator", true],
  ])("may be registered by a %s: %s", async (role, may) => {
    const object = useObject(floats(1));
    const added = await addToken(host.data.accessFile, { name: role, role, services: ["identity"], expires: null });
    const other = useBareClient(host.server.address, added.token.reveal());
    await vi.waitFor(() => other.call("ServerMetadata"), { timeout: 10_000 });
    const call = other.call("SystemSharedMemoryRegister", { name: "r", key: object.key, byte_size: 4 });
    if (may) await call;
    else expect(await failureOf(call)).toMatchObject({ status: "PERMISSION_DENIED" });
    expect(await client.call("SystemSharedMemoryStatus")).not.toMatchObject({ regions: { r: {} } });
  });

  test("of a GPU is never taken, and that is said at once", async () => {
    const register = client.call("CudaSharedMemoryRegister", { name: "r", raw_handle: Buffer.alloc(64), byte_size: 4 });
    expect(await failureOf(register)).toEqual({ status: "UNIMPLEMENTED", code: "NOT_IMPLEMENTED" });
    expect(await client.call("CudaSharedMemoryStatus")).toEqual({ regions: {} });
    await client.call("CudaSharedMemoryUnregister");
  });
});

test("where shared memory is not turned on, tensors in it are refused and clients see that it is not offered", async () => {
  const { server, token } = await useServer(services);
  const other = useBareClient(server.address, token);
  const { key } = useObject(floats(1));
  const off = { status: "FAILED_PRECONDITION", code: "SHARED_MEMORY_OFF" };
  const register = other.call("SystemSharedMemoryRegister", { name: "r", key, byte_size: 4 });
  expect(await failureOf(register)).toEqual(off);
  expect(await failureOf(other.infer(request(1, inRegion("r", 4))))).toEqual(off);
  expect(await other.call("SystemSharedMemoryStatus")).toEqual({ regions: {} });
  const extensions = async (from: BareClient) =>
    (await from.call<{ extensions: string[] }>("ServerMetadata")).extensions;
  expect(await extensions(other)).not.toContain("system_shared_memory");
  expect(await extensions(client)).toContain("system_shared_memory");
});

describe("classes", () => {
  const inputs = [{ name: "input", datatype: "FP32", shape: [3] }];
  const asked = (classes: number, more: object = {}) => [
    { name: "output", parameters: { classification: { int64_param: classes }, ...more } },
  ];

  test("of an output are its largest elements with the vendor's labels", async () => {
    const raw_input_contents = [floats(0.25, 8, -1)];
    const response = await client.infer({ model_name: "labeled", inputs, outputs: asked(2), raw_input_contents });
    expect(response.outputs).toMatchObject([{ name: "output", datatype: "BYTES", shape: ["2"] }]);
    expect(response.raw_output_contents).toEqual([
      Buffer.concat(
        ["8.000000:1:dog", "0.250000:0:cat"].flatMap((text) => [Buffer.of(text.length, 0, 0, 0), Buffer.from(text)]),
      ),
    ]);
  });

  test("are refused where they make no sense", async () => {
    const raw_input_contents = [floats(1, 2, 3)];
    const both = asked(1, inRegion("r", 100));
    const call = client.infer({ model_name: "labeled", inputs, outputs: both, raw_input_contents });
    expect(await failureOf(call)).toMatchObject({ code: "REQUEST_MALFORMED" });
    const words = {
      model_name: "words",
      inputs: [{ name: "input", datatype: "BYTES", shape: [0] }],
      outputs: asked(1),
    };
    expect(await failureOf(client.infer(words))).toMatchObject({ code: "REQUEST_MALFORMED" });
  });
});
