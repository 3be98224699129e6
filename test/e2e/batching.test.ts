import { afterAll, beforeAll, expect, test } from "vitest";
import { BareClient, failureOf } from "../helpers/bare-client.ts";
import { type DescribedService, startLicensedServer } from "../helpers/licensed-host.ts";
import { nativeLibrary } from "../helpers/native.ts";

const RUN_US = 20_000;
const FAIL = 255; // first byte of an item, in native/test/batched.cpp

const batched: DescribedService = {
  name: "batched",
  library: nativeLibrary("batched"),
  config: { costUs: RUN_US, misbehave: true },
  maxBatchSize: 16,
  limits: { runs: 10_000, runTime: "1h", concurrency: 1 },
};

const settings = {
  maxQueue: 100,
  queueTimeoutMs: 60_000,
  queueTimeoutAction: "delay",
  priorities: { levels: 3, default: 2, queues: { 3: { maxQueue: 7, allowTimeoutOverride: false } } },
  batching: { maxSize: 8, preferredSizes: [4, 8, 12], maxQueueDelayUs: 100 },
};

let server: Awaited<ReturnType<typeof startLicensedServer>>;
let client: BareClient;

beforeAll(async () => {
  server = await startLicensedServer([batched], { services: { batched: settings } });
  client = new BareClient(server.server.address, server.token);
});

afterAll(async () => {
  client?.close();
  await server?.end();
});

function request(byte: number, items = 1) {
  return {
    model_name: "batched",
    inputs: [{ name: "input", datatype: "UINT8", shape: [items, 3] }],
    raw_input_contents: [Buffer.alloc(3 * items, byte)],
  };
}

async function statistics() {
  type Statistics = Record<"inference_count" | "execution_count", string> & {
    batch_stats: { batch_size: string; compute_infer: { count: string } }[];
  };
  const { model_stats } = await client.call<{ model_stats: [Statistics] }>("ModelStatistics", { name: "batched" });
  return model_stats[0];
}

test("requests of different clients run together, and each gets what is its own", async () => {
  const others = new BareClient(server.server.address, server.token);
  const before = server.server.services[0]!.authorization.runsLeft!;
  const requests = Array.from({ length: 40 }, (_, index) => ({ byte: index, items: 1 + (index % 3) }));
  const answers = await Promise.all(
    requests.map(({ byte, items }, index) => (index % 2 ? client : others).infer(request(byte, items))),
  );
  others.close();
  const together = answers.map(({ outputs, raw_output_contents: [bytes, counts] }, index) => {
    const { byte, items } = requests[index]!;
    expect(outputs).toMatchObject([{ shape: [String(items), "3"] }, { shape: [String(items)] }]);
    expect(bytes).toEqual(Buffer.alloc(3 * items, byte));
    return Number(counts!.readBigInt64LE());
  });
  expect(Math.max(...together)).toBeGreaterThan(3);
  expect(Math.max(...together)).toBeLessThanOrEqual(8);
  expect(before - server.server.services[0]!.authorization.runsLeft!).toBe(40);

  const { inference_count, execution_count, batch_stats } = await statistics();
  expect(Number(inference_count)).toBe(requests.reduce((sum, { items }) => sum + items, 0));
  expect(Number(execution_count)).toBeLessThan(40);
  const runs = batch_stats.map(({ batch_size, compute_infer }) => [Number(batch_size), Number(compute_infer.count)]);
  expect(runs.reduce((sum, [, count]) => sum + count!, 0)).toBe(Number(execution_count));
  expect(runs.reduce((sum, [size, count]) => sum + size! * count!, 0)).toBe(Number(inference_count));
});

test("one that the plugin refuses costs the others nothing but time", async () => {
  const requests = [1, 2, FAIL, 3, 4, 5].map((byte) => request(byte));
  const answers = await Promise.all(
    requests.map((each) =>
      client.infer(each).then(
        ({ raw_output_contents: [bytes] }) => bytes![0],
        (error) => failureOf(Promise.reject(error)),
      ),
    ),
  );
  expect(answers).toEqual([1, 2, { status: "INVALID_ARGUMENT", code: "REQUEST_MALFORMED" }, 3, 4, 5]);
});

test("a request may have as many items as the license says, whatever the operator puts together", async () => {
  const { raw_output_contents } = await client.infer(request(9, 16));
  expect(raw_output_contents[0]).toEqual(Buffer.alloc(48, 9));
  expect(await failureOf(client.infer(request(9, 17)))).toMatchObject({ code: "REQUEST_MALFORMED" });
});

test("clients are told how requests run together and wait", async () => {
  const { config } = await client.call<{ config: Record<string, unknown> }>("ModelConfig", { name: "batched" });
  const policy = {
    timeout_action: "DELAY",
    default_timeout_microseconds: "60000000",
    allow_timeout_override: true,
    max_queue_size: 100,
  };
  expect(config).toMatchObject({
    max_batch_size: 16,
    input: [{ dims: ["-1"] }],
    scheduling_choice: "dynamic_batching",
    dynamic_batching: {
      preferred_batch_size: [4, 8],
      max_queue_delay_microseconds: "100",
      preserve_ordering: false,
      priority_levels: "3",
      default_priority_level: "2",
      default_queue_policy: policy,
      // A 64-bit 3, as this decoder writes the keys of a map.
      priority_queue_policy: {
        "\u0003\0\0\0\0\0\0\0": { ...policy, max_queue_size: 7, allow_timeout_override: false },
      },
    },
  });
});
