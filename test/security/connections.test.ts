import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { connect as connectHttp2, constants } from "node:http2";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { addToken } from "../../src/service/index.ts";
import { attacksOn, observed } from "../helpers/attack.ts";
import { type BareClient, frame, useBareClient } from "../helpers/bare-client.ts";
import { identityService, useLicensedHost } from "../helpers/licensed-host.ts";
import { useSignetServe } from "../helpers/signet-process.ts";
import { transportUnderTest } from "../helpers/transport.ts";

/** Clients that want the server's time and memory, not its answers. Each time an honest client must still be served. */

const INFER = "/inference.GRPCInferenceService/ModelInfer";
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const emptySettings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

interface Served {
  readonly pid: number;
  readonly port: number;
  readonly address: string;
  readonly token: string;
  readonly honest: BareClient;
  /** The lines of the audit log. */
  audit(): string;
}

async function useServed(config: object = {}): Promise<Served> {
  const { data } = await useLicensedHost([identityService]);
  writeFileSync(data.configFile, JSON.stringify({ ...transportUnderTest, ...config }));
  const grant = { name: "test", role: "client", services: "all", expires: null } as const;
  const token = (await addToken(data.accessFile, grant)).token.reveal();
  const server = useSignetServe(data.root, ["--listen", "127.0.0.1:0"]);
  const address = String((await server.logged("serving")).address);
  return {
    pid: server.pid,
    port: Number(address.split(":")[1]),
    address,
    token,
    honest: useBareClient(address, token),
    audit: () => readFileSync(join(data.auditDir, "audit.jsonl"), "utf8"),
  };
}

async function expectServed({ honest }: Served): Promise<void> {
  const inputs = [{ name: "input", datatype: "UINT8", shape: [3] }];
  const { raw_output_contents } = await honest.infer({
    model_name: "identity",
    inputs,
    raw_input_contents: [Buffer.from("abc")],
  });
  expect(raw_output_contents).toEqual([Buffer.from("abc")]);
}

async function useConnections(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
  });
  for (let opened = 0; opened < count; opened += 200) {
    const some = Array.from({ length: Math.min(200, count - opened) }, () => connect(port, "127.0.0.1"));
    for (const socket of some) socket.on("error", () => {});
    sockets.push(...some);
    await Promise.all(some.map((socket) => once(socket, "connect")));
  }
  return sockets;
}

const attack = attacksOn("the server's time and memory");

describe("attacks on the server's time and memory", () => {
  test("holds 2,000 connections and says nothing", attack("connect()"), async () => {
    const served = await useServed();
    await useConnections(served.port, 2000);
    await expectServed(served);
    observed("others are served");
  });

  test("takes every place there is for a connection", attack("400 connections where 100 may be"), async () => {
    const served = await useServed({ grpc: { maxConnections: 100 } });
    await expectServed(served);
    const sockets = await useConnections(served.port, 400);
    for (const socket of sockets) socket.resume(); // or it would not notice its end
    const open = () => sockets.filter(({ closed }) => !closed);
    await expect.poll(() => open().length, { timeout: 10_000 }).toBeLessThan(100);
    await expectServed(served); // its connection was there before
    const refusals = () =>
      served
        .audit()
        .split("\n")
        .filter((line) => line.includes("TOO_MANY_CONNECTIONS"));
    await expect.poll(() => refusals().length).toBeGreaterThan(0);
    expect(refusals().length).toBeLessThan(20);
    observed(`${open().length} of 400 taken; ${refusals().length} lines of the audit log tell of the others`);
    for (const socket of sockets) socket.destroy();
    const next = useBareClient(served.address, served.token);
    await expect.poll(() => next.call("ServerLive", {}).catch(() => null)).toEqual({ live: true });
  });

  test("begins 500 calls and never ends them", attack("HEADERS and half a message, each on a connection"), async () => {
    const served = await useServed();
    const sessions = Array.from({ length: 500 }, () => connectHttp2(`http://${served.address}`));
    onTestFinished(() => {
      for (const session of sessions) session.destroy();
    });
    await Promise.all(
      sessions.map((session) => {
        session.on("error", () => {});
        const stream = session.request({
          ":method": "POST",
          ":path": INFER,
          "content-type": "application/grpc",
          te: "trailers",
          authorization: `Bearer ${served.token}`,
        });
        stream.on("error", () => {});
        stream.write(frame(Buffer.alloc(10), { length: 10_000 }));
        return once(session, "connect");
      }),
    );
    await expectServed(served);
    observed("others are served");
  });

  test("speaks one byte at a time", attack("200 connections, the preface in pieces"), async () => {
    const served = await useServed();
    const sockets = await useConnections(served.port, 200);
    for (const byte of preface.subarray(0, 12)) for (const socket of sockets) socket.write(Buffer.from([byte]));
    await expectServed(served);
    observed("others are served");
  });

  test("opens and resets 20,000 calls", attack("HEADERS, RST_STREAM (CVE-2023-44487)"), async () => {
    const served = await useServed();
    const session = connectHttp2(`http://${served.address}`);
    onTestFinished(() => session.destroy());
    let ended = "the connection is kept, others are served";
    session.on("error", () => {});
    session.on("goaway", () => {
      ended = "the connection is closed, others are served";
    });
    await once(session, "connect");
    for (let opened = 0; opened < 20_000 && !session.destroyed && !session.closed; opened += 100) {
      const streams = Array.from({ length: 100 }, () =>
        session.request({ ":method": "POST", ":path": INFER, "content-type": "application/grpc", te: "trailers" }),
      );
      const closed = streams.map((stream) => new Promise<void>((resolve) => stream.once("close", () => resolve())));
      for (const stream of streams) {
        stream.on("error", () => {});
        stream.close(constants.NGHTTP2_CANCEL);
      }
      await Promise.all(closed);
    }
    await expectServed(served);
    observed(ended);
  });

  const floods: readonly [name: string, tried: string, bytes: Buffer][] = [
    ["changes its settings 100,000 times", "SETTINGS", emptySettings],
    ["asks for 100,000 answers to a ping", "PING", Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])],
    [
      "sends 100,000 empty headers without an end",
      "CONTINUATION (CVE-2024-27316)",
      Buffer.from([0, 0, 0, 9, 0, 0, 0, 0, 1]),
    ],
  ];
  for (const [name, tried, bytes] of floods) {
    test(name, attack(tried), async () => {
      const served = await useServed();
      const [socket] = await useConnections(served.port, 1);
      const begin = tried.startsWith("CONT") ? Buffer.from([0, 0, 0, 1, 0, 0, 0, 0, 1]) : Buffer.alloc(0);
      let isClosed = false;
      socket!.once("close", () => {
        isClosed = true;
      });
      // What the server says is not read: it must not pile up there either.
      socket!.pause();
      socket!.write(Buffer.concat([preface, emptySettings, begin]));
      const before = memoryMiB(served.pid);
      for (let sent = 0; sent < 100_000 && !isClosed; sent += 1000) {
        const more = Buffer.alloc(bytes.length * 1000, bytes);
        const isFull = !socket!.write(more);
        if (isFull) await writable(socket!);
      }
      await expectServed(served);
      expect(memoryMiB(served.pid) - before).toBeLessThan(200);
      observed(isClosed ? "the connection is closed, memory stays" : "others are served, memory stays");
    });
  }

  test("sends what is no HTTP/2 at all", attack("random bytes on 100 connections"), async () => {
    const served = await useServed();
    const sockets = await useConnections(served.port, 100);
    const closed = sockets.map((socket) => new Promise<void>((resolve) => socket.once("close", () => resolve())));
    for (const [index, socket] of sockets.entries()) socket.resume().write(Buffer.alloc(4096, index + 1));
    await Promise.all(closed);
    await expectServed(served);
    observed("the connections are closed, others are served");
  });
});

/**
 * Resolves when the server takes more, has closed the connection, or has taken nothing for a moment: that is a defense
 * too.
 */
function writable(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once("drain", resolve).once("close", resolve);
    setTimeout(resolve, 200);
  });
}

function memoryMiB(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024;
}
