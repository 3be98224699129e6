import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { addToken } from "../../src/service/index.ts";
import { useJobClient } from "../helpers/job-client.ts";
import {
  faultyService,
  identityService,
  startLicensedServer,
  useLicensedHost,
  useServer,
} from "../helpers/licensed-host.ts";
import { useSignetServe } from "../helpers/signet-process.ts";
import { type Printed, Terminal } from "../helpers/terminal.ts";

let host: Awaited<ReturnType<typeof startLicensedServer>>;
let terminal: Terminal;

beforeAll(async () => {
  host = await startLicensedServer([
    identityService,
    { ...identityService, name: "matrix", config: { datatype: "FP32", shape: [-1, 3] } },
    { ...identityService, name: "text", config: { datatype: "BYTES", shape: [-1] } },
    { ...identityService, name: "open", config: { datatype: "UINT8", shape: [-1, -1] } },
    faultyService,
  ]);
});

afterAll(async () => {
  await host?.end();
});

beforeEach(() => {
  terminal = new Terminal("jobs", { SIGNET_TOKEN: host.token });
});

const jobs = (words: string) => `signet jobs ${words} --server ${host.server.address}`;
const types = (words: string): Promise<Printed> => terminal.types(jobs(words));

async function typesJson(words: string) {
  return JSON.parse((await types(`${words} --json`)).out);
}

/** What the job answered, by `signet jobs result`. */
async function resultOf(id: string) {
  return JSON.parse((await types(`result ${id}`)).out).outputs[0];
}

async function submitted(words: string): Promise<string> {
  return (await types(`submit ${words}`)).out.trim();
}

async function succeeded(words: string): Promise<string> {
  const [job] = await typesJson(`submit ${words} --wait`);
  expect(job).toMatchObject({ state: "succeeded", attempts: 1, error: null });
  return job.id;
}

const waiting = `faulty --input 'mode="wait"' --input amount=60000`;

describe("signet jobs submit", () => {
  test.each([
    ["data as an array", "identity", "input=[1,2,3]", { datatype: "UINT8", shape: [3], data: [1, 2, 3] }],
    ["nested arrays", "matrix", "input=[[1,2,3],[4,5,6]]", { shape: [2, 3], data: [1, 2, 3, 4, 5, 6] }],
    ["a flat array, shaped as the service says", "matrix", "input=[1,2,3,4,5,6]", { shape: [2, 3] }],
    ["one value", "text", 'input="a word"', { datatype: "BYTES", shape: [1], data: ["a word"] }],
    ["a tensor with its shape", "open", 'input={"shape":[1,2],"data":[7,8]}', { shape: [1, 2], data: [7, 8] }],
    ["base64", "identity", 'input={"base64":"AQID"}', { shape: [3], data: [1, 2, 3] }],
    ["a shape of its own", "open", "input[2,1]=[7,8]", { shape: [2, 1], data: [7, 8] }],
  ])("takes %s", async (_, service, input, expected) => {
    const id = await succeeded(`${service} --input '${input}'`);
    expect(await resultOf(id)).toMatchObject({ name: "output", ...expected });
  });

  test.each([
    ["raw bytes", "identity", "input=@a.raw", Buffer.of(1, 2), { shape: [2], data: [1, 2] }],
    ["raw bytes without @", "identity", "input=a.raw", Buffer.of(1, 2), { shape: [2], data: [1, 2] }],
    ["the one element of a BYTES input", "text", "input=@a.raw", Buffer.from("some"), { shape: [1], data: ["some"] }],
    ["JSON", "matrix", "input=@a.json", Buffer.from("[1,2,3]"), { shape: [1, 3], data: [1, 2, 3] }],
  ])("takes a file with %s", async (_, service, input, content, expected) => {
    writeFileSync(join(terminal.directory, input.split(/=@?/)[1]!), content);
    expect(await resultOf(await succeeded(`${service} --input ${input}`))).toMatchObject(expected);
  });

  test.each([
    ["identity", "input", { shape: [3_000_000] }],
    ["open", "input[3,1000000]", { shape: [3, 1_000_000] }],
    ["text", "input", { shape: [1], datatype: "BYTES" }],
  ])("sends a file ahead as an artifact of %s", async (service, name, expected) => {
    const bytes = Buffer.alloc(3_000_000, "0123456");
    writeFileSync(join(terminal.directory, "large.raw"), bytes);
    const id = await succeeded(`${service} --artifact '${name}=large.raw'`);
    const [saved] = await typesJson(`result ${id} --out got`);
    expect(saved).toMatchObject({ name: "output", bytes: 3_000_000, file: "got/output.bin", ...expected });
    expect(readFileSync(join(terminal.directory, saved.file)).equals(bytes)).toBe(true);
  });

  test("prints the id of each, and says how to follow it", async () => {
    const { out, err } = await types("submit identity --input input=[1]");
    expect(out).toMatch(/^[0-9a-f-]{36}\n$/);
    expect(err).toContain(`signet jobs watch ${out.trim()}`);
    expect((await types("submit identity --input input=[1] --count 3")).out.trim().split("\n")).toHaveLength(3);
  });

  test("gives the job what else was said of it", async () => {
    const words = "--priority 7 --timeout 10m --label order=4711 --label 'who=a b' --idempotency-key once";
    const [job] = await typesJson(`submit identity --input input=[1] ${words}`);
    expect(job).toMatchObject({
      ...{ priority: 7, labels: { order: "4711", who: "a b" }, idempotencyKey: "once", client: "test" },
    });
    expect(Math.round((Date.parse(job.deadlineAt) - Date.parse(job.submittedAt)) / 60_000)).toBe(10);
    expect(await submitted(`identity --input input=[1] ${words}`)).toBe(job.id);
    await terminal.isRefused(jobs(`submit identity --input input=[2] ${words}`), 1, "JOB_KEY_REUSED");
  });

  test("makes many with keys of their own, however large they are", async () => {
    writeFileSync(join(terminal.directory, "a.raw"), Buffer.alloc(1_500_000));
    const words = "submit identity --input input=@a.raw --count 5 --idempotency-key many --label run=large";
    const ids = (await types(words)).out.trim().split("\n");
    expect(new Set(ids).size).toBe(5);
    expect((await types(words)).out.trim().split("\n")).toEqual(ids);
    expect(await typesJson("list --label run=large")).toHaveLength(5);
  });

  test("fails as the job did where it waits for it, and prints it all the same", async () => {
    const failing = `submit faulty --input 'mode="fail"' --input amount=1 --wait`;
    expect(await terminal.isRefused(jobs(failing), 1, "PLUGIN_FAILED")).toMatch(/job [0-9a-f-]{36}: /);
    expect(await terminal.isRefused(jobs(`${failing} --count 3`), 1, "PLUGIN_FAILED")).toContain("3 of 3 jobs");
    const { out, err } = await terminal.types(`${jobs("submit identity --input input=[1] --wait")}`);
    expect(out).toMatch(/^[0-9a-f-]{36} {2}succeeded\n$/);
    expect(err).toBe("");
  });

  test("ends an upload that is larger than the server takes", async () => {
    const { server, token } = await useServer([identityService], { jobs: { maxArtifactMiB: 1 } });
    writeFileSync(join(terminal.directory, "large.raw"), Buffer.alloc(50_000_000));
    const submit = `signet jobs submit identity --artifact input=large.raw --server ${server.address}`;
    await terminal.isRefused(`${submit} --token ${token}`, 1, "ARTIFACT_TOO_LARGE");
  });

  test.each([
    ["an input that the service has not", "identity --input x=[1]", 2, "USAGE"],
    ["an input without a value", "identity --input input", 2, "USAGE"],
    ["a file that is not there", "identity --input input=@none.raw", 2, "FILE_UNREADABLE"],
    ["an artifact that is not there", "identity --artifact input=none.raw", 2, "FILE_UNREADABLE"],
    ["elements that fill no shape", "matrix --input input=[1,2]", 2, "USAGE"],
    ["a shape that nobody knows", "open --input input=[1,2]", 2, "USAGE"],
    ["a service that is not there", "nosuch --input input=[1]", 1, "SERVICE_NOT_FOUND"],
    ["no input at all", "identity", 1, "REQUEST_MALFORMED"],
    ["a timeout without a unit", "identity --input input=[1] --timeout 10", 2, "USAGE"],
    ["a label without a value", "identity --input input=[1] --label x", 2, "USAGE"],
  ] as const)("refuses %s", async (_, words, exit, code) => {
    await terminal.isRefused(jobs(`submit ${words}`), exit, code);
  });
});

describe("signet jobs submit of an input that is nearly right", () => {
  test.each([
    ["a key that nobody knows", `identity --input 'input={"data":[1],"shpe":[1]}'`, '"shpe"'],
    ["data twice", `identity --input 'input={"data":[1],"base64":"AQ=="}'`, "found both or none"],
    ["a shape that is none", "identity --input 'input[a]=[1]'", "input input: expected its shape as in"],
    ["text that lost its quotes", "text --input input=words", `as in 'input="some text"'`],
    ["what is neither JSON nor a file", "identity --input input=[1,2", '"[1,2", which is neither'],
  ])("names what is wrong with %s", async (_, words, expected) => {
    expect(await terminal.isRefused(jobs(`submit ${words}`), 2, "USAGE")).toContain(expected);
  });
});

describe("signet jobs status", () => {
  test("shows where a job is, for people and for programs", async () => {
    const id = await succeeded("identity --input input=[1,2] --label run=status");
    const { out } = await types(`status ${id}`);
    expect(out).toMatch(/^state +succeeded$/m);
    expect(out).toMatch(/^labels +run=status$/m);
    expect(await typesJson(`status ${id}`)).toMatchObject({ id, service: "identity", state: "succeeded", attempts: 1 });
    expect(JSON.parse((await types(`status ${id} --report`)).out)).toMatchObject({
      ...{ job: id, inputs: [{ name: "input", shape: [2] }], outputs: [{ name: "output", shape: [2] }] },
    });
  });

  test("of a job that is not there names the code and what to do", async () => {
    const said = await terminal.isRefused(jobs("status 0192aa00-0000-7000-8000-000000000000"), 1, "JOB_NOT_FOUND");
    expect(said).toContain("`signet jobs list`");
  });
});

describe("signet jobs watch", () => {
  test("prints a line for each change, and fails as the job", async () => {
    const id = await submitted(waiting);
    const watching = terminal.starts(`${jobs(`watch ${id}`)} >&2`);
    await watching.says(/^\S+Z {2}submitted\n\S+Z {2}claimed {2}attempt 1/m);
    await watching.says(/^running \d+ % {2}stage 1, about .+ left$/m);
    await types(`cancel ${id}`);
    await watching.says(/^\S+Z {2}cancel-requested\n(.*\n)*\S+Z {2}cancelled\nsignet: CANCELLED: job /m);
    const failing = await submitted(`faulty --input 'mode="fail"' --input amount=1`);
    await terminal.isRefused(jobs(`watch ${failing}`), 1, "PLUGIN_FAILED");
  });

  test("prints a line of JSON for each change where that is asked for", async () => {
    const id = await succeeded("identity --input input=[1]");
    const updates = (await types(`watch ${id} --json`)).out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const types_ = updates.flatMap(({ event }) => (event === null ? [] : [event.type]));
    expect(types_).toEqual(["submitted", "claimed", "succeeded"]);
    expect(updates.at(-1)).toMatchObject({ job: { id, state: "succeeded" }, event: { state: "succeeded" } });
  });

  test("draws a bar on a terminal, and says how it ended", async () => {
    const id = await submitted(waiting);
    const watching = terminal.starts(`script -qec '${jobs(`watch ${id}`)}' /dev/null >&2`);
    await watching.says(/\r\u001b\[2K\[#* *\] +\d+ % {2}stage 1, about /);
    await types(`cancel ${id}`);
    await watching.says(/\r\u001b\[2Kcancelled\r\nsignet: CANCELLED: job /);
  });
});

describe("signet jobs watch of a server that is killed", () => {
  test("goes on where it was when the server is there again, and tells nothing twice", async () => {
    const { data } = await useLicensedHost([faultyService]);
    const grant = { name: "test", role: "client", services: "all", expires: null } as const;
    const token = (await addToken(data.accessFile, grant)).token.reveal();
    const killed = useSignetServe(data.root, ["--listen", "127.0.0.1:0"]);
    const address = String((await killed.logged("serving")).address);
    const there = `--server ${address} --token ${token}`;
    const terms = `--input 'mode="wait"' --input amount=3000`;
    const { out: id } = await terminal.types(`signet jobs submit faulty ${terms} ${there}`);
    const watching = terminal.starts(`signet jobs watch ${id.trim()} --json ${there} >&2`);
    const drawing = terminal.starts(`script -qec 'signet jobs watch ${id.trim()} ${there}' /dev/null >&2`);
    await watching.says(/"state":"running"/);
    await drawing.says(/\[#* *\] +\d+ % /);
    killed.kill("SIGKILL");
    await watching.says(/^UNREACHABLE: /m);
    await drawing.says(/\r\u001b\[2KUNREACHABLE: /);
    const again = useSignetServe(data.root, ["--listen", address]);
    await again.logged("serving");
    await watching.says(/^The server is there again\.$/m);
    await watching.says(/"type":"succeeded".*\n/);
    const lines = watching.said.split("\n").filter((line) => line.startsWith("{"));
    const events = lines.flatMap((line) => JSON.parse(line).event?.type ?? []);
    expect(events).toEqual(["submitted", "claimed", "lost", "claimed", "succeeded"]);
  });
});

describe("signet jobs cancel", () => {
  test("asks a running job to end, and a watch sees it end", async () => {
    const id = await submitted(waiting);
    const client = useJobClient(host.server.address, host.token);
    await vi.waitFor(async () => expect((await client.status(id)).state).toBe("JOB_STATE_RUNNING"), 20_000);
    const { out, err } = await types(`cancel ${id}`);
    expect(out).toBe("stopping\n");
    expect(err).toContain(`signet jobs watch ${id}`);
    await terminal.isRefused(jobs(`watch ${id}`), 1, "CANCELLED");
    expect((await types(`cancel ${id}`)).out).toBe("cancelled\n");
    await terminal.isRefused(jobs(`result ${id}`), 1, "JOB_NOT_DONE");
  });
});

describe("signet jobs list", () => {
  test("finds jobs by what was said of them, newest first, as many as are wanted", async () => {
    const ids = (await types("submit identity --input input=[1] --count 3 --label run=listed")).out.trim().split("\n");
    const idsOf = async (words: string) => (await typesJson(`list ${words}`)).map(({ id }: { id: string }) => id);
    expect(await idsOf("--label run=listed")).toEqual(ids.toReversed());
    expect(await idsOf("--label run=listed --limit 2 --own")).toEqual(ids.toReversed().slice(0, 2));
    expect(await idsOf("--label run=listed --service matrix")).toEqual([]);
    await vi.waitFor(async () => expect(await idsOf("--label run=listed --state succeeded")).toHaveLength(3), 20_000);
    expect(await idsOf("--label run=listed --state queued running")).toEqual([]);
    const { out, err } = await types("list --label run=listed --limit 2");
    expect(out).toMatch(/^ID +SERVICE +STATE +SUBMITTED +CLIENT$/m);
    expect(Math.max(...out.split("\n").map(({ length }) => length))).toBeLessThanOrEqual(100);
    expect(err).toContain("--limit");
    expect((await types("list --label run=none")).err).toBe("No job is like that.\n");
    await terminal.isRefused(jobs("list --state done"), 2, "USAGE");
  });
});

describe("signet jobs result", () => {
  test("writes files, of a BYTES output with one element that element, and overwrites none", async () => {
    const id = await succeeded(`text --input 'input="a picture"'`);
    const { out } = await types(`result ${id} --out got`);
    expect(out).toContain("got/output.bin");
    expect(readFileSync(join(terminal.directory, "got/output.bin"), "utf8")).toBe("a picture");
    await terminal.isRefused(jobs(`result ${id} --out got`), 2, "FILE_EXISTS");
    expect(readFileSync(join(terminal.directory, "got/output.bin"), "utf8")).toBe("a picture");
  });
});
