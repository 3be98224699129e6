import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { addToken } from "../../src/service/index.ts";
import { useBareClient } from "../helpers/bare-client.ts";
import { faultyService, useLicensedHost } from "../helpers/licensed-host.ts";
import { descendantsOf, isAlive } from "../helpers/processes.ts";
import { faultyRequest } from "../helpers/runner.ts";
import { skipWithout } from "../helpers/sandboxes.ts";
import { useSignetServe } from "../helpers/signet-process.ts";

const signet = join(import.meta.dirname, "..", "..", "bin", "signet");

/** A licensed host whose configuration asks for bubblewrap. */
async function useHost() {
  const { data } = await useLicensedHost([{ ...faultyService, limits: { runs: 1000, concurrency: 2 } }]);
  writeFileSync(data.configFile, "listen: 127.0.0.1:0\nservices: { faulty: { sandbox: bwrap } }\n");
  return data;
}

async function useServed() {
  const data = await useHost();
  const grant = { name: "test", role: "client", services: "all", expires: null } as const;
  const token = (await addToken(data.accessFile, grant)).token.reveal();
  const server = useSignetServe(data.root);
  const { address } = await server.logged("serving");
  return { server, client: useBareClient(String(address), token) };
}

test("signet serve warns of settings for a service that is not licensed, which has the default's sandbox", async () => {
  const { data } = await useLicensedHost([faultyService]);
  writeFileSync(data.configFile, "listen: 127.0.0.1:0\nservices: { fautly: { maxQueue: 1 } }\n");
  const server = useSignetServe(data.root);
  await server.logged("serving");
  expect(await server.logged("plugins run in a sandbox")).toMatchObject({ sandboxes: ["seccomp"] });
  const warning = "the configuration has settings for a service that the license does not name";
  expect(await server.logged(warning)).toMatchObject({ service: "fautly" });
});

describe("signet serve with sandbox: bwrap", () => {
  beforeEach((context) => skipWithout("bwrap", context));

  test("serves, and lets a running job end when all its processes are told to stop", async () => {
    const { server, client } = await useServed();
    const call = client.infer(faultyRequest("wait", 1000));
    await expect.poll(() => descendantsOf(server.pid)).toHaveLength(3);
    await client.infer(faultyRequest("ok")); // the other began before this one
    server.killGroup("SIGTERM");
    expect((await call).raw_output_contents[0]!.readBigInt64LE()).toBe(1000n);
    expect(await server.exit()).toBe(0);
  });

  test("killed by kill -9 leaves no process behind", async () => {
    const { server, client } = await useServed();
    const call = client.infer(faultyRequest("loop"));
    call.catch(() => {});
    await client.infer(faultyRequest("ok"));
    const processes = descendantsOf(server.pid);
    expect(processes).toHaveLength(3);
    server.kill("SIGKILL");
    await expect(call).rejects.toThrow();
    await expect.poll(() => processes.filter(isAlive)).toEqual([]);
  });

  test("is refused before a port opens where the kernel forbids name spaces", async () => {
    const data = await useHost();
    const script = 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"';
    const words = ["--user", "--map-root-user", "sh", "-c", script, "sh", signet, "serve", "--data", data.root];
    const { status, stderr } = spawnSync("unshare", [...words, "--log-format", "json"], { encoding: "utf8" });
    expect(stderr).toMatch(/^signet: SANDBOX_UNAVAILABLE: sandbox: bwrap: .*bwrap: /m);
    expect(stderr).not.toContain('"serving"');
    expect(status).toBe(1);
  });
});
