import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTlsDirectory } from "../certs/index.ts";
import { type Served, useHttp2Server } from "./raw-client.fixture.ts";

let directory: string;
let ca: Buffer;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "signet-http2-"));
  await createTlsDirectory(join(directory, "tls"), ["localhost"], { now: new Date(), days: 2 });
  ca = readFileSync(join(directory, "tls", "ca.crt"));
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

function useTlsServer(): Promise<Served> {
  const [cert, key] = ["server.crt", "server.key"].map((name) => readFileSync(join(directory, "tls", name)));
  return useHttp2Server({}, { tls: { cert: cert!, key: key! } });
}

describe("over TLS", () => {
  test("a client that speaks h2 is served", async () => {
    const { port, server } = await useTlsServer();
    const session = connectHttp2(`https://localhost:${port}`, { ca });
    const stream = session.request({ ":method": "POST", ":path": "/test" });
    stream.end(Buffer.concat([Buffer.of(0, 0, 3, 0, 0), Buffer.alloc(3 << 16)])); // many TLS records
    const [head] = (await once(stream, "response")) as [Record<string, unknown>];
    expect(head[":status"]).toBe(200);
    let bytes = 0;
    for await (const chunk of stream) bytes += chunk.length;
    expect(bytes).toBe(5 + (3 << 16));
    expect([...server.connections][0]!.encrypted).toBe(true);
    session.destroy();
  });

  test.each([
    ["does not say what it speaks", {}],
    ["speaks only HTTP/1.1", { ALPNProtocols: ["http/1.1"] }],
  ])("a client that %s is none", async (_, options) => {
    const { port, server } = await useTlsServer();
    const socket = connectTls({ port, host: "localhost", ca, ...options }).on("error", () => {});
    await new Promise((resolve) => socket.once("close", resolve));
    expect(server.connections.size).toBe(0);
  });

  test("a handshake that does not go on does not keep a server from closing", async () => {
    const { port, server } = await useTlsServer();
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    await once(socket, "connect");
    socket.write(Buffer.of(22, 3, 1)); // the beginning of a ClientHello
    await new Promise((resolve) => setTimeout(resolve, 50));
    await new Promise<void>((resolve) => server.close(() => resolve()));
    socket.destroy();
  });
});
