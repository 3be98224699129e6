import { connect } from "node:http2";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { MAX_OUTSTANDING } from "../../src/grpc/infer-stream.ts";
import { defaultLimits } from "../../src/http2/index.ts";
import { addToken, type CallLimits, removeToken } from "../../src/service/index.ts";
import { attacksOn, observed } from "../helpers/attack.ts";
import { BareClient, type BareInferRequest, frame, inferRequestBytes } from "../helpers/bare-client.ts";
import { BareStream, type StreamSettings } from "../helpers/bare-stream.ts";
import {
  type DescribedService,
  faultyService,
  identityService,
  startLicensedServer,
} from "../helpers/licensed-host.ts";
import { faultyRequest } from "../helpers/runner.ts";

const attack = attacksOn("the server's time and memory");

const STREAM = "/inference.GRPCInferenceService/ModelStreamInfer";
const RUNS = 100_000;

const services: DescribedService[] = [
  { ...identityService, limits: { runs: RUNS, concurrency: 4 } },
  { ...faultyService, limits: { concurrency: 2 } },
  { ...identityService, name: "three", limits: { runs: 3 } },
];

let host: Awaited<ReturnType<typeof startLicensedServer>>;
let client: BareClient;

beforeAll(async () => {
  const config = { defaults: { slotMiB: 8, maxQueue: 64, cancelGraceMs: 60_000 } };
  host = await startLicensedServer(services, config, { validDays: 20 }); // near its end
  client = new BareClient(host.server.address, host.token);
});

afterAll(async () => {
  client?.close();
  await host?.end();
});

function useStream(settings: StreamSettings = {}, token: string | null = host.token): BareStream {
  return new BareStream(client, token, settings);
}

function request(id: string, data = Buffer.from(id), more: Partial<BareInferRequest> = {}): BareInferRequest {
  return {
    model_name: "identity",
    id,
    inputs: [{ name: "input", datatype: "UINT8", shape: [data.length] }],
    raw_input_contents: [data],
    ...more,
  };
}

function runnerOf(service: string) {
  return host.server.services.find(({ conf }) => conf.name === service)!.runner;
}

async function useToken(name: string, limits: Partial<CallLimits> = {}) {
  const all = { callsPerSecond: null, burst: null, concurrent: null, ...limits };
  const added = await addToken(host.data.accessFile, {
    ...{ name, role: "client", services: ["identity"], expires: null, limits: all },
  } as const);
  const token = added.token.reveal();
  await vi.waitFor(() => client.call("ServerMetadata", {}, { token }), { timeout: 10_000 });
  return { token, id: added.record.id };
}

/** The ids of the answers, in order; what failed with its code behind it. */
function outline(stream: BareStream): string[] {
  return stream.responses.map(({ error_message, infer_response: { id, parameters } }) =>
    error_message === "" ? id : `${id} ${parameters.signet_code?.string_param}`,
  );
}

describe("a stream", () => {
  test("answers every request with its own result, in the order they came", async () => {
    const stream = useStream();
    const ids = Array.from({ length: 200 }, (_, index) => `request ${index}`);
    for (const id of ids) stream.send(request(id));
    expect(await stream.end()).toEqual({ status: "OK" });
    expect(outline(stream)).toEqual(ids);
    for (const { infer_response } of stream.responses) {
      expect(infer_response).toMatchObject({ model_name: "identity", model_version: "1" });
      expect(infer_response.raw_output_contents).toEqual([Buffer.from(infer_response.id)]);
    }
  });

  test("answers in order though a later request is done before an earlier one", async () => {
    const stream = useStream();
    stream.send({ ...faultyRequest("wait", 300), id: "slow" });
    stream.send(request("quick"));
    await stream.end();
    expect(outline(stream)).toEqual(["slow", "quick"]);
  });

  test("runs requests beside each other, as far as the license allows", async () => {
    const stream = useStream();
    for (let n = 0; n < 4; n++) stream.send({ ...faultyRequest("wait", 3_600_000), id: `${n}` });
    await expect.poll(() => runnerOf("faulty").running).toBe(2);
    stream.cancel();
    await expect.poll(() => runnerOf("faulty").running + runnerOf("faulty").queued).toBe(0);
  });

  test("stays open after an error, which is an answer like others, with the request's id and a code", async () => {
    const stream = useStream();
    stream.send(request("good"));
    stream.send(request("unknown", Buffer.of(1), { model_name: "nobody" }));
    stream.send(request("malformed", Buffer.of(1), { inputs: [] }));
    stream.send({ ...faultyRequest("fail", 0), id: "failed" });
    stream.send(request("good again"));
    expect(await stream.end()).toEqual({ status: "OK" });
    expect(outline(stream)).toEqual([
      "good",
      "unknown SERVICE_NOT_FOUND",
      "malformed REQUEST_MALFORMED",
      "failed PLUGIN_FAILED",
      "good again",
    ]);
    expect(stream.responses[1]!.error_message).toContain("Request for unknown model: 'nobody' is not found");
  });

  test("ends with a status at the first error where the client asks for that, after the answers before it", async () => {
    const stream = useStream({ headers: { triton_grpc_error: "true" } });
    stream.send(request("good"));
    stream.send(request("unknown", Buffer.of(1), { model_name: "nobody" }));
    stream.send(request("never answered"));
    expect(await stream.ended).toEqual({ status: "NOT_FOUND", code: "SERVICE_NOT_FOUND" });
    expect(outline(stream)).toEqual(["good"]);
  });

  test("says of every answer that it is the last of its request, asked for or not", async () => {
    const stream = useStream();
    stream.send(
      request("asked", Buffer.of(1), { parameters: { triton_enable_empty_final_response: { bool_param: true } } }),
    );
    stream.send(request("not asked"));
    stream.send(request("error", Buffer.of(1), { model_name: "nobody" }));
    await stream.end();
    const finals = stream.responses.map(({ infer_response }) => infer_response.parameters.triton_final_response);
    expect(finals).toEqual(Array(3).fill({ bool_param: true, parameter_choice: "bool_param" }));
    expect(stream.responses).toHaveLength(3); // no empty ones behind them
  });

  test("without requests ends well", async () => {
    expect(await useStream().end()).toEqual({ status: "OK" });
  });

  test("charges each request, and refuses what the license has no runs for, one by one", async () => {
    const stream = useStream();
    for (let n = 1; n <= 5; n++) {
      stream.send(request(`${n}`, Buffer.of(n), { model_name: "three" }));
      await expect.poll(() => stream.responses.length).toBe(n);
    }
    await stream.end();
    expect(outline(stream)).toEqual(["1", "2", "3", "4 LICENSE_RUNS_EXHAUSTED", "5 LICENSE_RUNS_EXHAUSTED"]);
  });
});

describe("a stream whose client", () => {
  test("cancels stops what runs and empties the queue, in a process that lives on", async () => {
    const { pid } = runnerOf("faulty");
    const stream = useStream();
    for (let n = 0; n < 10; n++) stream.send({ ...faultyRequest("wait", 3_600_000), id: `${n}` });
    await expect.poll(() => runnerOf("faulty").queued).toBe(8);
    stream.cancel();
    expect(await stream.ended).toEqual({ status: "CANCELLED" });
    await expect.poll(() => runnerOf("faulty").running + runnerOf("faulty").queued).toBe(0);
    expect(runnerOf("faulty").pid).toBe(pid);
  });

  test("sets a deadline ends at it, and what it had running is stopped", async () => {
    const stream = useStream({ timeoutMs: 500 });
    stream.send({ ...faultyRequest("wait", 3_600_000), id: "long" });
    expect(await stream.ended).toEqual({ status: "DEADLINE_EXCEEDED" });
    await expect.poll(() => runnerOf("faulty").running).toBe(0);
  });

  test("sends without end is read no further than a bound", async () => {
    const { session } = sendByHand(Array(500).fill(faultyRequest("wait", 3_600_000)));
    await expect.poll(() => runnerOf("faulty").queued).toBe(MAX_OUTSTANDING - 2);
    for (let n = 0; n < 5; n++) await client.call("ServerLive"); // round trips in which more would have come
    expect(runnerOf("faulty").queued).toBe(MAX_OUTSTANDING - 2);
    session.destroy();
    await expect.poll(() => runnerOf("faulty").running + runnerOf("faulty").queued).toBe(0);
  });

  // What is beyond the bound waits at the client, but for one window of the stream; Node's streams would read 16 of these
  // ahead besides.
  test(
    "sends large requests without end cannot make the server hold more than its bound of them",
    attack("makes the server hold its messages", "100 MiB into one stream that is not answered"),
    async () => {
      const large = request("large", Buffer.alloc(2 ** 20));
      const inWindow = defaultLimits.streamWindowBytes / 2 ** 20;
      const { session, gone } = sendByHand([faultyRequest("wait", 3_600_000), ...Array(100).fill(large)]);
      await untilStill(gone);
      expect(gone()).toBeGreaterThanOrEqual(MAX_OUTSTANDING);
      expect(gone()).toBeLessThan(MAX_OUTSTANDING + inWindow + 4);
      observed(`${gone()} of 101 messages taken`);
      session.destroy();
      await expect.poll(() => runnerOf("faulty").running).toBe(0);
    },
  );

  test("sends more requests than its bound gets every answer, in order", async () => {
    const stream = useStream();
    for (let n = 0; n < 3 * MAX_OUTSTANDING; n++) stream.send({ ...faultyRequest("sleep", 1), id: `${n}` });
    expect(await stream.end()).toEqual({ status: "OK" });
    expect(outline(stream)).toEqual(Array.from({ length: 3 * MAX_OUTSTANDING }, (_, n) => `${n}`));
  });

  test("sends large requests is bounded by their bytes too, and gets every answer", async () => {
    const large = Buffer.alloc(3 * 2 ** 20, 7);
    const stream = useStream();
    for (let n = 0; n < 40; n++) stream.send(request(`${n}`, large));
    expect(await stream.end()).toEqual({ status: "OK" });
    expect(stream.responses.map(({ infer_response }) => infer_response.raw_output_contents[0]!.equals(large))).toEqual(
      Array(40).fill(true),
    );
  });

  test("reads nothing makes the server read nothing either, and gets everything once it reads", async () => {
    const large = Buffer.alloc(2 ** 20, 7);
    const stream = useStream();
    stream.pause();
    const before = runsSoFar();
    for (let n = 0; n < 200; n++) stream.send(request(`${n}`, large));
    // Settles well below what was sent: what fits into the windows and buffers on the way is all that was run.
    await untilStill(runsSoFar);
    expect(runsSoFar()).toBeGreaterThan(before);
    expect(runsSoFar() - before).toBeLessThan(150);
    stream.resume();
    expect(await stream.end()).toEqual({ status: "OK" });
    expect(stream.responses).toHaveLength(200);
  });
});

/** A stream by hand, because grpc-js as a client stops by itself after some messages that are not answered. */
function sendByHand(requests: readonly BareInferRequest[]) {
  const session = connect(`http://${host.server.address}`).on("error", () => undefined);
  onTestFinished(() => session.destroy());
  const headers = { ":method": "POST", ":path": STREAM, "content-type": "application/grpc", te: "trailers" };
  const call = session.request({ ...headers, authorization: `Bearer ${host.token}` }).on("error", () => undefined);
  let sent = 0;
  const sendNext = () => {
    const next = requests[sent];
    if (next === undefined) return;
    call.write(frame(inferRequestBytes(next)), (error) => {
      if (error) return;
      sent++;
      sendNext();
    });
  };
  sendNext();
  return { session, gone: () => sent };
}

/** Waits until a number has not changed for a while. */
async function untilStill(count: () => number): Promise<void> {
  let last = Number.NaN;
  const isStill = () => {
    const now = count();
    const isSame = now === last;
    last = now;
    return isSame;
  };
  await expect.poll(isStill, { interval: 500, timeout: 60_000 }).toBe(true);
}

/** How often the identity service ran so far, as the ledger says. */
function runsSoFar(): number {
  return RUNS - host.server.services[0]!.authorization.runsLeft!;
}

describe("each request of a stream", () => {
  test("needs the grant for its service", async () => {
    const { token } = await useToken("identity-only");
    const stream = useStream({}, token);
    stream.send(request("granted"));
    stream.send({ ...faultyRequest("ok", 1), id: "not granted" });
    await stream.end();
    expect(outline(stream)).toEqual(["granted", "not granted PERMISSION_DENIED"]);
  });

  test("needs a token that is still there", async () => {
    const { token, id } = await useToken("removed");
    const stream = useStream({}, token);
    stream.send(request("before"));
    await expect.poll(() => outline(stream)).toEqual(["before"]);
    await removeToken(host.data.accessFile, id);
    let n = 0;
    const sending = setInterval(() => stream.send(request(`${n++}`)), 50);
    expect(await stream.ended).toEqual({ status: "UNAUTHENTICATED", code: "UNAUTHENTICATED" });
    clearInterval(sending);
  });

  test("is never taken from a stranger", async () => {
    for (const token of [null, "sgn_nonsense"]) {
      const stream = useStream({}, token);
      stream.send(request("stranger"));
      expect(await stream.ended).toEqual({ status: "UNAUTHENTICATED", code: "UNAUTHENTICATED" });
      expect(stream.responses).toEqual([]);
    }
  });

  test("counts against its caller's rate, and the stream itself as the first of them", async () => {
    const { token } = await useToken("rated", { callsPerSecond: 0.001, burst: 4 });
    const stream = useStream({}, token); // useToken took one
    for (let n = 1; n <= 5; n++) stream.send(request(`${n}`));
    await stream.end();
    expect(outline(stream)).toEqual(["1", "2", "3", "4 RATE_LIMITED", "5 RATE_LIMITED"]);
  });

  test("counts against its caller's places, of which the stream holds one", async () => {
    const { token } = await useToken("few", { concurrent: 2 });
    const stream = useStream({}, token);
    stream.send(request("1"));
    await expect.poll(() => outline(stream)).toEqual(["1"]);
    const elsewhere = client.infer(request("elsewhere"), { token });
    stream.send(request("2"));
    await expect.poll(() => outline(stream)).toEqual(["1", "2"]);
    await elsewhere;
    await stream.end();
    expect((await client.infer(request("after"), { token })).id).toBe("after");
  });
});

test("a stream tells at its end that the license is near its own", async () => {
  const stream = useStream();
  stream.send(request("1"));
  await stream.end();
  expect(stream.trailers?.get("signet-license-state")).toEqual(["expiring"]);
});
