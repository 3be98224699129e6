import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { addToken, type Role } from "../../src/service/index.ts";
import { type BareClient, failureOf, useBareClient } from "../helpers/bare-client.ts";
import {
  faultyService,
  identityService,
  type ServingHost,
  useLicensedHost,
  useServer,
} from "../helpers/licensed-host.ts";
import { faultyRequest } from "../helpers/runner.ts";
import { useSignetServe } from "../helpers/signet-process.ts";

const services = [identityService, { ...faultyService, limits: { concurrency: 1 } }];

async function useOperator(config: object = {}, role: Role = "operator", granted: "all" | string[] = "all") {
  const host = await useServer(services, config);
  const added = await addToken(host.data.accessFile, { name: role, role, services: granted, expires: null });
  const client = useBareClient(host.server.address, added.token.reveal());
  await vi.waitFor(() => client.call("ServerMetadata"), { timeout: 10_000 });
  return { host, client };
}

const denied = { status: "PERMISSION_DENIED", code: "PERMISSION_DENIED" };
const malformed = { status: "INVALID_ARGUMENT", code: "REQUEST_MALFORMED" };
const notOffered = { status: "UNIMPLEMENTED", code: "NOT_IMPLEMENTED" };

/** Settings as plain values, sent and received. */
async function setLog(client: BareClient, settings: Record<string, boolean | number | string> = {}) {
  const kinds = { boolean: "bool_param", number: "uint32_param", string: "string_param" } as Record<string, string>;
  const wrapped = Object.entries(settings).map(([name, value]) => [name, { [kinds[typeof value]!]: value }]);
  const answer = await client.call<{
    settings: Record<string, Record<string, unknown> & { parameter_choice: string }>;
  }>("LogSettings", { settings: Object.fromEntries(wrapped) });
  return Object.fromEntries(
    Object.entries(answer.settings).map(([name, value]) => [name, value[value.parameter_choice]]),
  );
}

async function setTrace(client: BareClient, settings: Record<string, string[]> = {}, model_name = "") {
  const wrapped = Object.entries(settings).map(([name, value]) => [name, { value }]);
  const answer = await client.call<{ settings: Record<string, { value: string[] }> }>("TraceSetting", {
    ...{ settings: Object.fromEntries(wrapped), model_name },
  });
  return Object.fromEntries(Object.entries(answer.settings).map(([name, { value }]) => [name, value.join()]));
}

/** Ends a service's process, which the log has at level info and error. */
async function crash(client: BareClient, { log }: ServingHost) {
  const from = log.length;
  await failureOf(client.infer(faultyRequest("exit", 1)));
  await expect
    .poll(async () => (await client.call<{ ready: boolean }>("ModelReady", { name: "faulty" })).ready)
    .toBe(true);
  return new Set(log.slice(from).map(({ level }) => level));
}

describe("settings of the log", () => {
  test("change what the running server writes", async () => {
    const { host, client } = await useOperator();
    expect(await setLog(client)).toEqual({
      ...{ log_file: "", log_info: true, log_warning: true, log_error: true, log_verbose_level: 0, log_format: "json" },
    });
    expect(await crash(client, host)).toEqual(new Set(["info", "error"]));
    expect(await setLog(client, { log_info: false })).toMatchObject({ log_info: false, log_warning: true });
    expect(await crash(client, host)).toEqual(new Set(["error"]));
    await setLog(client, { log_warning: false, log_error: false });
    expect(await crash(client, host)).toEqual(new Set());
    await setLog(client, { log_info: true, log_warning: true, log_error: true, log_verbose_level: 2 });
    expect(await crash(client, host)).toContain("info");
    expect(host.log.filter(({ msg }) => msg === "log settings changed").map(({ identity }) => identity)).toEqual(
      Array(2).fill("operator"), // the first is told before it quiets itself, the last after
    );
  });

  test("change how the log of a real server looks", async () => {
    const host = await useLicensedHost(services);
    const added = await addToken(host.data.accessFile, { name: "o", role: "operator", services: "all", expires: null });
    const server = useSignetServe(host.data.root, ["--listen", "127.0.0.1:0"]);
    const { address } = await server.logged("serving");
    const client = useBareClient(String(address), added.token.reveal());
    await setLog(client, { log_format: "pretty" });
    await expect.poll(() => server.stderr).toMatch(/^\[.* INFO: log settings changed .*format=pretty/m);
    await setLog(client, { log_format: "default" });
    await expect.poll(() => server.stderr).toMatch(/^\{.*"format":"json".*"msg":"log settings changed"\}/m);
  });

  test("that would do nothing are refused, and nothing is changed", async () => {
    const { client } = await useOperator();
    const refusals: [Record<string, boolean | number | string>, object][] = [
      [{ log_file: "/etc/cron.d/x" }, notOffered],
      [{ log_warning: false }, malformed], // info without warnings is no level
      [{ log_verbose_level: 3 }, malformed],
      [{ log_info: false, log_verbose_level: 1 }, malformed],
      [{ log_info: 1 }, malformed],
      [{ log_format: "ISO8601" }, malformed],
      [{ log_colour: true }, malformed],
      [{ log_info: false, log_nonsense: 1 }, malformed],
    ];
    for (const [settings, refusal] of refusals) {
      expect(await failureOf(setLog(client, settings)), JSON.stringify(settings)).toEqual(refusal);
    }
    expect(await setLog(client)).toMatchObject({ log_info: true, log_verbose_level: 0, log_format: "json" });
  });
});

describe("settings of traces", () => {
  function useTraceDir() {
    const root = mkdtempSync(join(tmpdir(), "signet-test-traces-"));
    onTestFinished(() => rmSync(root, { recursive: true, force: true }));
    const traceDir = join(root, "traces");
    const files = () => readdirSync(traceDir).map((name) => JSON.parse(readFileSync(join(traceDir, name), "utf8")));
    return { traceDir, files };
  }

  test("write the timestamps of calls into a file, and what is not traced nowhere", async () => {
    const { traceDir, files } = useTraceDir();
    const { client } = await useOperator({ traceDir });
    expect(await setTrace(client)).toEqual({
      ...{ trace_level: "OFF", trace_rate: "1000", trace_count: "-1", log_frequency: "0", trace_mode: "triton" },
      trace_file: traceDir,
    });
    await client.infer(faultyRequest("ok", 1));
    await setTrace(client, { trace_level: ["TIMESTAMPS"], trace_rate: ["1"] });
    await client.infer({ ...faultyRequest("sleep", 30), id: "my id" });
    await failureOf(client.infer(faultyRequest("fail", 1)));
    await setTrace(client, { trace_level: ["OFF"] });
    await client.infer(faultyRequest("ok", 1));

    const [traces, ...more] = files();
    expect(more).toEqual([]);
    expect(traces).toMatchObject([
      { id: 1, model_name: "faulty", model_version: "1", request_id: "my id", outcome: "OK" },
      { id: 2, model_name: "faulty", outcome: "PLUGIN_FAILED" },
    ]);
    const stamps: { name: string; ns: number }[] = traces[0].timestamps;
    expect(stamps.map(({ name }) => name)).toEqual([
      ...["REQUEST_START", "QUEUE_START", "COMPUTE_START", "COMPUTE_INPUT_END"],
      ...["COMPUTE_OUTPUT_START", "COMPUTE_END", "REQUEST_END"],
    ]);
    const times = stamps.map(({ ns }) => ns);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(times[4]! - times[3]!).toBeGreaterThanOrEqual(30e6);
  });

  test("count and rate choose which calls, a service's own before the server's", async () => {
    const { traceDir, files } = useTraceDir();
    const { host, client } = await useOperator({ traceDir });
    await setTrace(client, { trace_level: ["TIMESTAMPS"], trace_rate: ["1"], trace_count: ["2"] }, "faulty");
    expect(await setTrace(client)).toMatchObject({ trace_level: "OFF" });
    for (let n = 0; n < 4; n++) await client.infer(faultyRequest("ok", n));
    expect(await setTrace(client, {}, "faulty")).toMatchObject({ trace_level: "TIMESTAMPS", trace_count: "0" });
    const other = await setTrace(client, { trace_level: [], trace_count: ["-1"], trace_rate: ["2"] }, "faulty");
    expect(other).toMatchObject({ trace_level: "OFF", trace_rate: "2" });
    await setTrace(client, { trace_level: ["TIMESTAMPS"] });
    for (let n = 0; n < 4; n++) await client.infer(faultyRequest("ok", n));
    await host.server.stop(); // finishes the file
    expect(files().flat()).toHaveLength(4); // 2 by count, 2 of 4 by rate
  });

  test("need a place in the configuration", async () => {
    const { client } = await useOperator();
    const off = { status: "FAILED_PRECONDITION", code: "TRACING_OFF" };
    expect(await failureOf(setTrace(client, { trace_level: ["TIMESTAMPS"] }))).toEqual(off);
    expect(await setTrace(client, { trace_level: ["OFF"] })).toMatchObject({ trace_level: "OFF", trace_file: "" });
  });

  test("that would do nothing are refused, and nothing is changed", async () => {
    const { traceDir } = useTraceDir();
    const { client } = await useOperator({ traceDir });
    const refusals: [Record<string, string[]>, object][] = [
      [{ trace_file: ["/etc/cron.d/x"] }, notOffered],
      [{ trace_level: ["TENSORS"] }, notOffered],
      [{ trace_mode: ["opentelemetry"] }, notOffered],
      [{ log_frequency: ["10"] }, notOffered],
      [{ trace_rate: ["0"] }, malformed],
      [{ trace_count: ["-2"] }, malformed],
      [{ trace_rate: ["1e3"] }, malformed],
      [{ nonsense: [] }, malformed],
      [{ trace_rate: ["7"], nonsense: ["1"] }, malformed],
    ];
    for (const [settings, refusal] of refusals) {
      expect(await failureOf(setTrace(client, settings)), JSON.stringify(settings)).toEqual(refusal);
    }
    expect(await setTrace(client)).toMatchObject({ trace_level: "OFF", trace_rate: "1000", trace_count: "-1" });
  });
});

test.each<[Role, "all" | string[]]>([
  ["viewer", "all"],
  ["client", "all"],
  ["operator", ["faulty"]],
])(
  "a %s with grants for %j neither reads nor changes them, but an operator those of its services",
  async (role, granted) => {
    const { client } = await useOperator({}, role, granted);
    expect(await failureOf(setLog(client))).toEqual(denied);
    expect(await failureOf(setTrace(client))).toEqual(denied);
    expect(await failureOf(setTrace(client, {}, "identity"))).toEqual(denied);
    if (role === "operator") expect(await setTrace(client, {}, "faulty")).toMatchObject({ trace_level: "OFF" });
  },
);
