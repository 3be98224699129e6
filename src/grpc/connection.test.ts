import { once } from "node:events";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttp2Server, type Http2Server } from "node:http2";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { describe, expect, onTestFinished, test } from "vitest";
import { createClientPair, createTlsDirectory } from "../certs/index.ts";
import { SignetError } from "../errors.ts";
import { createVendor } from "../license/vendor.fixture.ts";
import { InferenceClient } from "./client.ts";
import { parseServerAddress } from "./connection.ts";
import type { ClientOptions } from "./service-client.ts";

const { root } = createVendor("rsa");
const pair = { cert: root.certificate.toString(), key: root.key.export({ format: "pem", type: "pkcs8" }) };

async function useServer(server: Server | Http2Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => sockets.add(socket));
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await once(server, "listening");
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function useDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "signet-ca-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}

async function useCa(text: string = pair.cert): Promise<string> {
  const directory = await useDirectory();
  writeFileSync(join(directory, "ca.pem"), text);
  return join(directory, "ca.pem");
}

async function callAt(
  server: string,
  caFile?: string,
  timeoutMs = 30_000,
  own: Pick<ClientOptions, "certFile" | "keyFile"> = {},
): Promise<SignetError> {
  const client = new InferenceClient({ server, caFile, timeoutMs, ...own });
  onTestFinished(() => client.close());
  return client.modelMetadata("x").then(
    () => Promise.reject(new Error("the call succeeded")),
    (error) => error,
  );
}

describe("a server's address", () => {
  test.each([
    ["localhost:9", "localhost:9"],
    ["gpu-1.example.com", "gpu-1.example.com:8001"],
    ["127.0.0.1", "127.0.0.1:8001"],
    ["::1", "[::1]:8001"],
    ["[::1]", "[::1]:8001"],
    ["[::1]:65535", "[::1]:65535"],
  ])("%s is called at %s", (text, address) => {
    expect(parseServerAddress(text)).toBe(address);
  });

  test.each([
    "",
    " ",
    "a b:1",
    "http://127.0.0.1:8001",
    "dns:///x",
    "x:0",
    "x:65536",
    "x:",
    ":1",
    "[x]:1",
    "a\nb",
    "x/y",
  ])("%j is none", (text) => {
    expect(() => new InferenceClient({ server: text, timeoutMs: 1 })).toThrow(
      expect.objectContaining({ code: "USAGE" }),
    );
  });
});

describe("a call that no server answers says so without gRPC's words:", () => {
  function expectWords(error: SignetError, words: RegExp): void {
    expect(error).toBeInstanceOf(SignetError);
    expect(error.code).toBe("UNREACHABLE");
    expect(error.message).toMatch(words);
    expect(error.message).not.toMatch(/Error:|Last error|\n|LB pick/);
  }

  test("nothing listens", async () => {
    const server = createServer();
    const address = await useServer(server);
    await new Promise((resolve) => server.close(resolve));
    expectWords(await callAt(address), /nothing listens/);
  });

  test("a name that nobody knows", async () => {
    expectWords(await callAt("nobody.invalid:1"), /name/);
  });

  test("a web server", async () => {
    expectWords(await callAt(await useServer(createHttpServer((_, answer) => answer.end()))), /not a Signet server/);
  });

  test.each([
    [404, /not a Signet server/],
    [503, /proxy/],
  ])("a web server with HTTP/2 that answers %i", async (status, words) => {
    const server = createHttp2Server((_, answer) => {
      answer.statusCode = status;
      answer.end();
    });
    expectWords(await callAt(await useServer(server)), words);
  });

  test("a server without TLS that is called with it", async () => {
    const address = await useServer(createHttp2Server());
    expectWords(await callAt(address, await useCa()), /does not speak TLS/);
  });

  test("a server with TLS that is called without it", async () => {
    expectWords(await callAt(await useServer(createTlsServer(pair))), /TLS/);
  });

  test("a server whose certificate another CA signed", async () => {
    const address = await useServer(createTlsServer({ ...pair, ALPNProtocols: ["h2"] }));
    expectWords(await callAt(address, await useCa(createVendor().root.certificate.toString())), /certificate/);
  });

  test.each([
    ["none", false, /client certificate; give --cert/],
    ["another authority's", true, /closed, as by a server that does not take/],
  ])("a server that demands a client certificate, which gets %s", async (_, hasOne, words) => {
    const valid = { now: new Date(), days: 1 };
    const [site, other] = [await useDirectory(), await useDirectory()];
    const { authorityFile, certificateFile, keyFile } = await createTlsDirectory(site, ["127.0.0.1"], valid);
    const files = { ca: readFileSync(authorityFile), cert: readFileSync(certificateFile), key: readFileSync(keyFile) };
    const demands = { requestCert: true, rejectUnauthorized: true, ALPNProtocols: ["h2"] };
    const address = await useServer(createTlsServer({ ...files, ...demands }));
    await createTlsDirectory(other, ["x"], valid);
    const own = await createClientPair(other, "me", other, valid);
    const shown = hasOne ? { certFile: own.certificateFile, keyFile: own.keyFile } : {};
    expectWords(await callAt(address, authorityFile, 30_000, shown), words);
  });

  test("a port that never says a word", async () => {
    expectWords(await callAt(await useServer(createServer()), undefined, 200), /nothing answers/);
  });
});

test("a server that takes the call and then too long is not called unreachable", async () => {
  const error = await callAt(await useServer(createHttp2Server(() => undefined)), undefined, 1000);
  expect(error.code).toBe("DEADLINE_EXCEEDED");
  expect(error.message).toMatch(/no answer within 1 s/);
});

describe("a call beyond the caller's rate", () => {
  /** Refuses the first calls, and tells when the next may come. */
  function useRated(refusals: number, pushbackMs: string): Promise<string> {
    let calls = 0;
    const server = createHttp2Server();
    server.on("stream", (stream) => {
      calls += 1;
      const status = { ":status": 200, "content-type": "application/grpc" };
      const refusal = { "grpc-status": 8, "signet-code": "RATE_LIMITED", "grpc-retry-pushback-ms": pushbackMs };
      if (calls <= refusals) return stream.respond({ ...status, ...refusal }, { endStream: true });
      stream.respond(status, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": 0 }));
      stream.end(Buffer.alloc(5));
    });
    return useServer(server);
  }

  test("is made again when the server says", async () => {
    const client = new InferenceClient({ server: await useRated(2, "1"), timeoutMs: 30_000 });
    onTestFinished(() => client.close());
    await expect(client.modelMetadata("x")).resolves.toMatchObject({ name: "" });
  });

  test.each(["60000", "-1x", ""])(
    "fails where there is no time for that, or no time was said: %j",
    async (pushback) => {
      const error = await callAt(await useRated(1, pushback));
      expect(error.code).toBe("RATE_LIMITED");
    },
  );
});

test.each([
  ["a certificate that is none", (own: string) => ({ certFile: own, keyFile: own })],
  ["a key of another certificate", (own: string, key: string) => ({ certFile: own, keyFile: key })],
])("%s is named by its file", async (what, filesOf) => {
  const other = await useCa(createVendor().root.key.export({ format: "pem", type: "pkcs8" }).toString());
  const files = what.startsWith("a key") ? filesOf(await useCa(), other) : filesOf(other, other);
  expect(() => new InferenceClient({ server: "127.0.0.1:1", timeoutMs: 1, ...files })).toThrow(
    expect.objectContaining({ code: "USAGE", message: expect.stringContaining(other) }),
  );
});

test("a CA file without a certificate is refused, not taken for an empty list", async () => {
  const caFile = await useCa("no certificate\n");
  expect(() => new InferenceClient({ server: "127.0.0.1:1", caFile, timeoutMs: 1 })).toThrow(
    expect.objectContaining({ code: "USAGE" }),
  );
});
