import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";
import { addToken, type Role } from "../../src/service/index.ts";
import { failureOf, useBareClient } from "../helpers/bare-client.ts";
import { faultyService, identityService, type ServingHost, useServer } from "../helpers/licensed-host.ts";
import { faultyRequest } from "../helpers/runner.ts";

const signet = join(import.meta.dirname, "..", "..", "bin", "signet");
const services = [identityService, { ...faultyService, limits: { concurrency: 1 } }];

/** Somebody with a token, who types commands. */
async function usePerson({ server, data }: ServingHost, role: Role, granted: "all" | string[] = "all") {
  const { token } = await addToken(data.accessFile, { name: role, role, services: granted, expires: null });
  const start = (...args: string[]) => {
    const env = { PATH: process.env.PATH, SIGNET_TOKEN: token.reveal() };
    const child = spawn(signet, [...args, "--server", server.address], { env, stdio: ["ignore", "pipe", "pipe"] });
    onTestFinished(() => void child.kill("SIGKILL"));
    return child;
  };
  const types = async (...args: string[]) => {
    const child = start(...args);
    const [out, err, [exit]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
    return { out, err, exit };
  };
  return { start, types };
}

test("signet status, logs and service release tell a person what happened, and put it right", async () => {
  const host = await useServer(services, { services: { faulty: { quarantineAfter: 2 } } });
  const { types } = await usePerson(host, "admin");
  const caller = useBareClient(host.server.address, host.token);
  await caller.infer(faultyRequest("tell", 1));
  for (let end = 0; end < 2; end++) await failureOf(caller.infer(faultyRequest("abort")));
  await expect.poll(() => host.server.services[1]!.runner.state).toBe("quarantined");

  const page = await types("status");
  expect(page).toMatchObject({ exit: 0, err: "" });
  expect(page.out).toMatch(/^signet \S+, up .*, not ready\nlicense .*, 30 days left\n/);
  expect(page.out).toMatch(/^identity +ready +\d+ +0\/2 /m);
  expect(page.out).toMatch(/^faulty +quarantined +- +0\/1 /m);
  expect(page.out).toMatch(/^! faulty: ended 2 times in a row, SERVICE_CRASHED: .*signet service release faulty$/m);
  expect(page.out).toMatch(/ faulty +ended +2 +its process ended by SIGABRT$/m);
  const { services: listed } = JSON.parse((await types("status", "--json")).out);
  expect(listed.map(({ name, state }: Record<string, unknown>) => `${name} ${state}`)).toEqual([
    "identity ready",
    "faulty quarantined",
  ]);

  const printed = await types("logs", "--service", "faulty", "--stream", "stdout", "--since", "1h");
  expect(printed).toMatchObject({ exit: 0, err: "" });
  expect(printed.out).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} faulty stdout [0-9a-f-]{18} {2}begin 1\n$/);
  const [line] = JSON.parse((await types("logs", "--grep", "END 1", "--json")).out);
  expect(line).toMatchObject({ service: "faulty", stream: "stderr", text: "end 1", jobs: [expect.any(String)] });
  expect((await types("logs", "--job", line.jobs[0].slice(0, 18))).out.split("\n")).toHaveLength(3);
  expect((await types("logs", "--platform", "--level", "error")).out).toMatch(/signet error {2}the service's process/);
  expect(await types("logs", "--grep", "nobody said that")).toMatchObject({ exit: 0, out: "" });

  expect(await types("service", "release", "faulty")).toMatchObject({
    exit: 0,
    out: "",
    err: "Service faulty takes calls.\n",
  });
  await caller.infer(faultyRequest("ok"));
});

test("signet logs --follow goes on with what comes, as JSON too", async () => {
  const host = await useServer(services);
  const { start } = await usePerson(host, "operator", ["faulty"]);
  const caller = useBareClient(host.server.address, host.token);
  await caller.infer(faultyRequest("tell", 1));
  const child = start("logs", "--follow", "--service", "faulty", "--last", "1", "--json");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => JSON.parse((await lines.next()).value as string).text;
  expect(await next()).toBe("end 1");
  await caller.infer(faultyRequest("tell", 2));
  expect([await next(), await next()]).toEqual(["begin 2", "end 2"]);
});

test("who may not is told so in one line", async () => {
  const host = await useServer(services);
  const { types } = await usePerson(host, "operator", ["faulty"]);
  for (const args of [
    ["logs", "--platform"],
    ["logs", "--service", "identity"],
    ["service", "release", "identity"],
  ]) {
    const { exit, out, err } = await types(...args);
    expect({ exit, out, err }).toEqual({
      exit: 1,
      out: "",
      err: expect.stringMatching(/^signet: PERMISSION_DENIED: .*\n$/),
    });
  }
  for (const args of [
    ["--since", "soon"],
    ["--last", "0"],
    ["--level", "loud"],
    ["--level", "warn", "--stream", "stdout"],
  ]) {
    expect(await types("logs", ...args)).toMatchObject({ exit: 2, err: expect.stringMatching(/^signet: USAGE: /) });
  }
});
