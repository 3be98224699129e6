import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as nextTurn } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import type { DataDirectory } from "../../src/config/index.ts";
import { InferenceClient } from "../../src/grpc/index.ts";
import { openHostKey } from "../../src/license/index.ts";
import { addToken, readHostLedger } from "../../src/service/index.ts";
import { attacksOn, observed } from "../helpers/attack.ts";
import { type BareClient, failureOf, useBareClient } from "../helpers/bare-client.ts";
import { type DescribedService, faultyService, identityService, useLicensedHost } from "../helpers/licensed-host.ts";
import { nativeLibrary } from "../helpers/native.ts";
import { childrenOf, isAlive } from "../helpers/processes.ts";
import { faultyRequest } from "../helpers/runner.ts";
import { type SignetProcess, useSignetServe } from "../helpers/signet-process.ts";

const attack = attacksOn("the ledger and the clock");

const limited: DescribedService = { ...faultyService, limits: { runs: 1000, concurrency: 2 } };
const anyPort = ["--listen", "127.0.0.1:0"];

interface Served {
  readonly data: DataDirectory;
  readonly token: string;
  readonly server: SignetProcess;
  readonly client: BareClient;
}

async function useData(services = [limited]): Promise<{ data: DataDirectory; token: string }> {
  const { data } = await useLicensedHost(services);
  const grant = { name: "test", role: "client", services: "all", expires: null } as const;
  return { data, token: (await addToken(data.accessFile, grant)).token.reveal() };
}

async function serve(data: DataDirectory, token: string): Promise<Served> {
  const server = useSignetServe(data.root, anyPort);
  const { address } = await server.logged("serving");
  return { data, token, server, client: useBareClient(String(address), token) };
}

async function useServed(services = [limited]): Promise<Served> {
  const { data, token } = await useData(services);
  return serve(data, token);
}

/** Time a process has computed, ms: a plugin's endless loop shows in nothing else. */
function processorMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function accountOf(data: DataDirectory) {
  const ledger = readHostLedger(data, await openHostKey(data.hostDir));
  return [...ledger.accounts()].find(({ service }) => service === "faulty");
}

/** Starts a server's first job and waits until it runs: until the ledger has paid for it. */
async function startFirstJob({ data, client }: Served, mode: string, amount = 1) {
  const call = client.infer(faultyRequest(mode, amount));
  call.catch(() => {});
  await expect.poll(async () => (await accountOf(data))?.leased ?? 0).toBeGreaterThan(0);
  return { call };
}

describe("a stop signal", () => {
  test("SIGTERM lets a running job end, takes no new one, settles the ledger and exits with 0", async () => {
    const served = await useServed();
    const { data, server, client } = served;
    const children = childrenOf(server.pid);
    expect(children.length).toBe(1);
    const { call } = await startFirstJob(served, "wait", 2000);
    server.kill("SIGTERM");
    await server.logged("stopping: finishing what runs");
    expect(await failureOf(client.infer(faultyRequest("ok")))).toMatchObject({ status: "UNAVAILABLE" });
    expect((await call).raw_output_contents[0]!.readBigInt64LE()).toBe(2000n);
    expect(await server.exit()).toBe(0);
    expect(await accountOf(data)).toMatchObject({ runs: 1, leased: 0 });
    expect(children.filter(isAlive)).toEqual([]);
  });

  test.each(["SIGTERM", "SIGINT"] as const)(
    "sent as %s to all its processes at once still lets a running job end",
    async (signal) => {
      const served = await useServed();
      const { call } = await startFirstJob(served, "wait", 1000);
      served.server.killGroup(signal);
      expect((await call).raw_output_contents[0]!.readBigInt64LE()).toBe(1000n);
      expect(await served.server.exit()).toBe(0);
    },
  );

  test("a second time ends a job that does not end, and charges it", async () => {
    const served = await useServed();
    const { data, server } = served;
    const children = childrenOf(server.pid);
    const { call } = await startFirstJob(served, "loop");
    server.kill("SIGTERM");
    await server.logged("stopping: finishing what runs");
    server.kill("SIGTERM");
    expect(await failureOf(call)).toMatchObject({ status: expect.stringMatching(/^(UNAVAILABLE|CANCELLED)$/) });
    expect(await server.exit()).toBe(1);
    expect(children.filter(isAlive)).toEqual([]);
    expect(await accountOf(data)).toMatchObject({ runs: 1, leased: 0 });
  });

  test("of any kind ends a job that does not end when the drain time is over", async () => {
    const { data, token } = await useData();
    writeFileSync(data.configFile, "drainMs: 100\n");
    const served = await serve(data, token);
    const { call } = await startFirstJob(served, "loop");
    served.server.kill("SIGTERM");
    expect(await failureOf(call)).toEqual({ status: "UNAVAILABLE", code: "SHUTTING_DOWN" });
    expect(await served.server.exit()).toBe(0);
    expect(await accountOf(data)).toMatchObject({ runs: 1, leased: 0 });
  });
});

describe("kill -9", () => {
  test(
    "leaves no process behind, and the next start charges what was leased and serves",
    attack("kills the server to run for free", "kill -9 while a job runs"),
    async () => {
      const served = await useServed();
      const { data, token, server } = served;
      const children = childrenOf(server.pid);
      const { call } = await startFirstJob(served, "loop");
      server.kill("SIGKILL");
      expect(await failureOf(call)).toMatchObject({ status: "UNAVAILABLE" });
      expect(await server.exit()).toBe("SIGKILL");
      await expect.poll(() => children.filter(isAlive)).toEqual([]);
      const { leased } = (await accountOf(data))!;
      expect(leased).toBeGreaterThan(0);

      const again = await serve(data, token);
      expect(await accountOf(data)).toMatchObject({ runs: leased, leased: 0 });
      await again.client.infer(faultyRequest("ok"));
      again.server.kill("SIGTERM");
      expect(await again.server.exit()).toBe(0);
      expect(await accountOf(data)).toMatchObject({ runs: leased + 1, leased: 0 });
      observed(`the ${leased} runs it had leased are charged, no process is left`);
    },
  );
});

describe("a service's process", () => {
  // Its main thread is inside native code then and hears nothing from the gateway.
  test("ends with the gateway also while the plugin is made", async () => {
    const starting = `
      import { describeService } from ${JSON.stringify(new URL("../../src/engine/index.ts", import.meta.url).href)};
      const files = [{ name: "faulty", role: "library", path: ${JSON.stringify(nativeLibrary("faulty"))} }];
      await describeService({ files, config: { create: "loop" } });`;
    const gateway = spawn(process.execPath, ["--input-type=module-typescript", "--eval", starting]);
    onTestFinished(() => void gateway.kill("SIGKILL"));
    await expect.poll(() => childrenOf(gateway.pid!)).toHaveLength(1);
    const [child] = childrenOf(gateway.pid!);
    // Loading its own code takes less, also on a slow machine; the rest is the plugin's loop.
    await expect.poll(() => processorMs(child!)).toBeGreaterThan(6000);
    gateway.kill("SIGKILL");
    await expect.poll(() => isAlive(child!)).toBe(false);
  });
});

describe("signet serve", () => {
  test(
    "is refused beside another on the same data directory, which goes on",
    attack("starts a second server", "the same data directory"),
    async () => {
      const { data, client } = await useServed();
      const second = useSignetServe(data.root, anyPort);
      expect(await second.exit()).toBe(1);
      expect(second.stderr).toContain("signet: LEDGER_BUSY: ");
      await client.infer(faultyRequest("ok"));
    },
  );

  test("on a port that is taken is refused, and gives back what it had opened", async () => {
    const { data, token } = await useData();
    const taken = createServer().listen(0, "127.0.0.1");
    onTestFinished(() => void taken.close());
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    const server = useSignetServe(data.root, ["--listen", `127.0.0.1:${port}`]);
    expect(await server.exit()).toBe(1);
    expect(server.stderr).toContain("signet: ADDRESS_IN_USE: ");
    // Told before a model is loaded, and in our words alone.
    expect(server.log.map(({ state }) => state)).not.toContain("ready");
    expect(server.stderr).not.toMatch(/^E /m);
    await serve(data, token);
  });

  test(
    "in plaintext for other machines is refused as a wrong configuration",
    attack("serves in plaintext to other machines", "listen: 0.0.0.0"),
    async () => {
      const { data } = await useData();
      const server = useSignetServe(data.root, ["--listen", "0.0.0.0:0"]);
      expect(await server.exit()).toBe(2);
      expect(server.stderr).toContain("signet: INSECURE_LISTEN: ");
    },
  );

  test(
    "with TLS answers those who trust its certificate, and nobody in plaintext",
    attack("speaks plaintext to a TLS port", "gRPC without TLS"),
    async () => {
      const { data, token } = await useData([identityService]);
      const [key, cert] = [join(data.root, "key.pem"), join(data.root, "cert.pem")];
      const subject = ["-subj", "/CN=signet", "-addext", "subjectAltName=DNS:localhost", "-days", "2"];
      const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
      execFileSync("openssl", ["req", "-x509", ...curve, "-keyout", key, "-out", cert, ...subject], { stdio: "pipe" });
      writeFileSync(data.configFile, "tls: { cert: cert.pem, key: key.pem }\n");
      const server = useSignetServe(data.root, ["--listen", "0.0.0.0:0"]);
      const { address, tls } = await server.logged("serving");
      expect(tls).toBe(true);
      const local = String(address).replace("0.0.0.0", "localhost");
      const trusting = new InferenceClient({ server: local, token, caFile: cert, timeoutMs: 20_000 });
      onTestFinished(() => trusting.close());
      const input = { name: "input", datatype: "UINT8", shape: [2], data: Uint8Array.of(1, 2) };
      expect([...(await trusting.infer("identity", [input]))[0]!.data]).toEqual([1, 2]);
      const plain = useBareClient(local, token);
      expect(await failureOf(plain.call("ServerLive"))).toMatchObject({ status: "UNAVAILABLE" });
    },
  );

  test(
    "opens its port where the license holds, and at no moment where a library is not the licensed one",
    attack("connects before the files were verified", "connect() in a loop while a changed library is refused"),
    async () => {
      const { data } = await useData();
      const port = await freePort();
      const good = useSignetServe(data.root, ["--listen", `127.0.0.1:${port}`]);
      const answers = answersUntilExit(port, good);
      await good.logged("serving");
      await answers.first;
      good.kill("SIGTERM");
      expect(await answers.count).toBeGreaterThan(0);

      appendFileSync(join(data.licenseDir, "files", "faulty", "libsignet_faulty.so"), "x");
      const refused = useSignetServe(data.root, ["--listen", `127.0.0.1:${port}`]);
      expect(await answersUntilExit(port, refused).count).toBe(0);
      expect(await refused.exit()).toBe(3);
      expect(refused.stderr).toContain("signet: LIBRARY_DIGEST_MISMATCH: ");
      expect(refused.log.map(({ msg }) => msg)).not.toContain("service state");
      observed("the port was never open");
    },
  );
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Connects again and again for as long as the process lives, and counts how often that worked. */
function answersUntilExit(port: number, server: SignetProcess): { first: Promise<void>; count: Promise<number> } {
  const first = Promise.withResolvers<void>();
  const exited = server.exit().then(() => "exited" as const);
  const attempt = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("connect", () => resolve(true));
      socket.on("error", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });
  const count = async () => {
    for (let answered = 0; ; ) {
      if (await attempt()) {
        answered++;
        first.resolve();
      }
      if ((await Promise.race([exited, nextTurn(5, "alive" as const)])) === "exited") return answered;
    }
  };
  return { first: first.promise, count: count() };
}
