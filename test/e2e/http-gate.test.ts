import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type AuditRecord, readAudit } from "../../src/audit/index.ts";
import { openHostKey } from "../../src/license/index.ts";
import {
  addToken,
  auditPlaceOf,
  type CallLimits,
  type Role,
  readTokens,
  removeToken,
} from "../../src/service/index.ts";
import { attacksOn, observed } from "../helpers/attack.ts";
import { identityService, startLicensedServer } from "../helpers/licensed-host.ts";
import { RestClient, sendByHand, statusOf } from "../helpers/rest-client.ts";

const attack = attacksOn("calls");
const flood = attacksOn("the server's time and memory");

const INFER = "/v2/models/reader/infer";
const MIB = 2 ** 20;
const unauthenticated = { status: 401, code: "UNAUTHENTICATED" };
const denied = { status: 403, code: "PERMISSION_DENIED" };
const malformed = { status: 400, code: "REQUEST_MALFORMED" };
const tooLarge = { status: 413, code: "REQUEST_TOO_LARGE" };

let host: Awaited<ReturnType<typeof startLicensedServer>>;
let client: RestClient;
let address: string;

beforeAll(async () => {
  const services = ["reader", "writer"].map((name) => ({ ...identityService, name }));
  host = await startLicensedServer(services, { http: { listen: "127.0.0.1:0" }, maxMessageMiB: 1 });
  address = host.server.httpAddress!;
  client = new RestClient(address, host.token);
});

afterAll(async () => {
  await host?.end();
});

const request = { inputs: [{ name: "input", datatype: "UINT8", shape: [1], data: [7] }] };

/** A token that the running server knows already. */
async function useToken(
  name: string,
  {
    role = "client",
    services = "all",
    limits = {},
  }: Partial<{ role: Role; services: "all" | string[]; limits: Partial<CallLimits> }>,
): Promise<string> {
  const all = { callsPerSecond: null, burst: null, concurrent: null };
  const grant = { name, role, services, expires: null, limits: { ...all, ...limits } } as const;
  const { token } = await addToken(host.data.accessFile, grant);
  // A second token, so that waiting for the server to see both spends nothing of the first.
  const marker = await addToken(host.data.accessFile, { ...grant, name: `${name}-marker`, limits: all });
  const settings = { token: marker.token.reveal() };
  await vi.waitFor(async () => expect((await client.get("/v2", settings)).status).toBe(200), { timeout: 10_000 });
  return token.reveal();
}

/** Status line and headers of a request by hand, from which everything but its head is kept back. */
async function head(headers: readonly string[], path = INFER): Promise<{ status: number; code: string | undefined }> {
  const text = [`POST ${path} HTTP/1.1`, "Host: localhost", ...headers, "", ""].join("\r\n");
  return parseHead(await sendByHand(address, text, "\r\n\r\n"));
}

function parseHead(text: string) {
  return { status: Number(text.split(" ")[1]), code: /^signet-code: (\w+)/m.exec(text)?.[1] };
}

async function audited(): Promise<AuditRecord[]> {
  const records: AuditRecord[] = [];
  await readAudit(auditPlaceOf(host.data, await openHostKey(host.data.hostDir)), (record) => records.push(record));
  return records;
}

describe("a stranger over REST", () => {
  test(
    "is refused by the head of a request, before anything of its body is there",
    flood("has the server wait for a body", "a head that announces 1 MiB, without a token"),
    async () => {
      expect(await head([`Content-Length: ${MIB}`])).toEqual(unauthenticated);
      expect(await head(["Transfer-Encoding: chunked", "Authorization: Bearer sgn_nonsense"])).toEqual(unauthenticated);
    },
  );

  test(
    "is not asked for the body that it offers",
    flood("has the server ask for a body", "Expect: 100-continue without a token"),
    async () => {
      const text = `POST ${INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: ${MIB}\r\nExpect: 100-continue\r\n\r\n`;
      const received = await sendByHand(address, text); // until the server ends the connection
      expect(received).not.toContain("100 Continue");
      expect(parseHead(received)).toEqual(unauthenticated);
    },
  );

  test(
    "finds out nothing of paths and services",
    attack("looks for calls and services over REST without a token", "known and unknown paths, services and methods"),
    async () => {
      const stranger = new RestClient(address, null);
      for (const path of ["/v2", INFER, "/v2/models/nobody", "/nothing", "/openapi.json", "/v2/logging"]) {
        for (const method of ["GET", "POST", "DELETE"]) {
          expect(await statusOf(stranger.call(method, path))).toEqual(unauthenticated);
        }
      }
    },
  );

  test(
    "gets in by no other form of authorization",
    attack("authenticates over REST in another way", "Basic, a cookie, a query, no scheme, two tokens"),
    async () => {
      const stranger = new RestClient(address, null);
      for (const authorization of ["", "Bearer", `Basic ${host.token}`, host.token, `Bearer ${host.token}x`]) {
        expect(await statusOf(stranger.get("/v2", { headers: { authorization } }))).toEqual(unauthenticated);
      }
      expect(await statusOf(stranger.get(`/v2?access_token=${host.token}`))).toEqual(unauthenticated);
      expect(await statusOf(stranger.get("/v2", { headers: { cookie: `token=${host.token}` } }))).toEqual(
        unauthenticated,
      );
      const two = [`Authorization: Bearer ${host.token}`, "Authorization: Bearer other"];
      expect(await head(two)).toEqual(malformed);
      expect(await head(two.toReversed())).toEqual(malformed);
    },
  );
});

describe("a token over REST", () => {
  test.each([
    ["viewer", { role: "viewer", services: "all" }, denied, denied],
    ["reader-only", { role: "client", services: ["reader"] }, { status: 200 }, denied],
    ["operator-of-reader", { role: "operator", services: ["reader"] }, { status: 200 }, denied],
    ["admin", { role: "admin", services: [] }, { status: 200 }, { status: 200 }],
  ] as [string, { role: Role; services: "all" | string[] }, object, object][])(
    "of %s opens what it was granted",
    attack.each("calls over REST with another role's token"),
    async (name, grant, reader, writer) => {
      const token = await useToken(name, grant);
      expect(await statusOf(client.post(INFER, request, { token }))).toEqual(reader);
      expect(await statusOf(client.post("/v2/models/writer/infer", request, { token }))).toEqual(writer);
      expect(await statusOf(client.get("/v2/models/writer", { token }))).toEqual({ status: 200 });
      if (grant.role === "admin") {
        observed("an admin has every service");
      } else {
        // A name that nobody has looks like one that is not granted.
        expect(await statusOf(client.post("/v2/models/nobody/infer", request, { token }))).toEqual(denied);
        expect(await statusOf(client.get("/v2/logging", { token }))).toEqual(denied);
        expect(await statusOf(client.post("/v2/repository/models/writer/unload", {}, { token }))).toEqual(denied);
      }
    },
  );

  test(
    "that is removed while the server runs opens nothing any more, on connections that are open too",
    attack("uses a token over REST that was removed", "while the server runs"),
    async () => {
      const token = await useToken("short-lived", {});
      expect(await statusOf(client.get("/v2", { token }))).toEqual({ status: 200 });
      await removeToken(
        host.data.accessFile,
        readTokens(host.data.accessFile).find(({ name }) => name === "short-lived")!.id,
      );
      await expect.poll(() => statusOf(client.get("/v2", { token }))).toEqual(unauthenticated);
    },
  );

  test(
    "refused costs no run",
    attack("uses up runs over REST by calls that are refused", "no grant, nonsense"),
    async () => {
      const token = await useToken("nothing", { services: [] });
      const runsLeft = () => host.server.services.map(({ authorization }) => authorization.runsLeft);
      const before = runsLeft();
      expect(await statusOf(client.post(INFER, request, { token }))).toEqual(denied);
      expect(await statusOf(client.post(INFER, { inputs: [] }))).toEqual(malformed);
      expect(runsLeft()).toEqual(before);
      observed("no run is charged");
    },
  );
});

describe("limits of a caller over REST", () => {
  test(
    "on how often: it is refused, and told when to come again",
    flood("calls faster over REST than it may", "3 calls with a burst of 2"),
    async () => {
      const token = await useToken("rated", { limits: { callsPerSecond: 0.01, burst: 2 } });
      for (let n = 0; n < 2; n++)
        expect(await statusOf(client.post(INFER, request, { token }))).toEqual({ status: 200 });
      const refused = await client.post(INFER, request, { token });
      expect(await statusOf(Promise.resolve(refused))).toEqual({ status: 429, code: "RATE_LIMITED" });
      expect(Number(refused.headers["retry-after"])).toBeGreaterThan(1);
      expect(await statusOf(client.post(INFER, request))).toEqual({ status: 200 }); // others go on
    },
  );

  test(
    "on how many at once: one more is refused until one of them has ended",
    flood("begins more calls over REST than it may", "concurrent: 1, a call that sends half its body"),
    async () => {
      const token = await useToken("few", { limits: { concurrent: 1 } });
      const controller = new AbortController();
      const held = fetch(`http://${address}${INFER}`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}` },
        body: new ReadableStream({ start: (stream) => stream.enqueue(Buffer.from("{")) }),
        duplex: "half",
        signal: controller.signal,
      } as RequestInit);
      const ended = expect(held).rejects.toThrow();
      const call = () => statusOf(client.post(INFER, request, { token }));
      await expect.poll(call).toEqual({ status: 429, code: "TOO_MANY_CALLS" });
      controller.abort();
      await ended;
      await expect.poll(call).toEqual({ status: 200 });
      expect(await call()).toEqual({ status: 200 }); // a place is given back by calls that end by themselves too
    },
  );
});

describe("a body over REST", () => {
  const authorized = () => `Authorization: Bearer ${host.token}`;

  test(
    "that announces more than is taken is refused before it comes",
    flood("sends a body that is too large", "announced"),
    async () => {
      expect(await head([authorized(), `Content-Length: ${MIB + 1}`])).toEqual(tooLarge);
      const small = `Content-Length: ${128 * 1024 + 1}`;
      expect(await head([authorized(), small], "/v2/repository/index")).toEqual(tooLarge);
    },
  );

  test(
    "that turns out to be more is refused as soon as it is",
    flood("sends a body that is too large", "in chunks"),
    async () => {
      const chunk = Buffer.concat([Buffer.from("10000\r\n"), Buffer.alloc(0x10000, " "), Buffer.from("\r\n")]);
      const start = `POST ${INFER} HTTP/1.1\r\nHost: x\r\n${authorized()}\r\nTransfer-Encoding: chunked\r\n\r\n`;
      const received = await sendByHand(
        address,
        Buffer.concat([Buffer.from(start), ...Array(17).fill(chunk)]),
        "\r\n\r\n",
      );
      expect(parseHead(received)).toEqual(tooLarge);
    },
  );

  test(
    "that grows beyond all bounds when it is unpacked is refused",
    flood("sends a small body that becomes large", "64 MiB of zeros in gzip, twice"),
    async () => {
      const bomb = gzipSync(Buffer.alloc(64 * MIB));
      expect(bomb.length).toBeLessThan(MIB / 8);
      const headers = { "content-encoding": "gzip" };
      expect(await statusOf(client.post(INFER, bomb, { headers }))).toEqual(tooLarge);
      const layered = { "content-encoding": "gzip, gzip" };
      expect(await statusOf(client.post(INFER, gzipSync(bomb), { headers: layered }))).toEqual(malformed);
    },
  );

  test.each([
    ["as deep as it is long", "[".repeat(MIB / 2), malformed],
    ["of objects within objects", '{"a":'.repeat(100_000), malformed],
    ["of empty lists", `[${"[],".repeat(349_000)}[]]`, malformed],
    [
      "of empty objects in its data",
      `{"inputs":[{"name":"input","datatype":"UINT8","shape":[1],"data":[${"{},".repeat(300_000)}{}]}]}`,
      malformed,
    ],
  ])("in JSON %s is refused", flood.each("sends JSON that becomes large or deep"), async (_, text, refused) => {
    expect(await statusOf(client.post(INFER, Buffer.from(text)))).toEqual(refused);
  });

  test(
    "with names of the language's own is a body like others",
    attack("names what every object has", "__proto__, constructor"),
    async () => {
      const names = `"__proto__":{"isAdmin":true},"constructor":{"prototype":{"isAdmin":true}}`;
      const parameters = `"parameters":{"__proto__":"x","constructor":"y"}`;
      const text = `{${names},${parameters},"inputs":[{${names},${parameters},"name":"input","datatype":"UINT8","shape":[1],"data":[7]}]}`;
      expect(await statusOf(client.post(INFER, Buffer.from(text)))).toEqual({ status: 200 });
      expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined();
      expect(await statusOf(client.get("/v2/models/__proto__"))).toEqual({ status: 404, code: "SERVICE_NOT_FOUND" });
    },
  );
});

describe("a path over REST", () => {
  test.each(["..%2f..%2fetc%2fpasswd", "reader%00", "%E0%A4%A", "a".repeat(300), "%2e%2e", "reader%2finfer"])(
    "with %s for a service names none",
    attack.each("names a service by a path that is none"),
    async (name) => {
      const { status, code } = await client.get(`/v2/models/${name}`);
      expect(["SERVICE_NOT_FOUND", "ROUTE_NOT_FOUND", "REQUEST_MALFORMED"]).toContain(code);
      expect([400, 404]).toContain(status);
      observed(`${status} ${code}`);
    },
  );
});

describe("a connection over REST", () => {
  const start = `POST ${INFER} HTTP/1.1\r\nHost: x\r\n`;

  test.each([
    ["two lengths", `${start}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`],
    ["a length and chunks", `${start}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ["an encoding of the transfer that is none", `${start}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
    [
      "a chunk's length that is none",
      `${start}Authorization: Bearer x\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\n{\r\n`,
    ],
    ["a space before a colon", `${start}Content-Length : 2\r\n\r\n{}`],
    ["a line break in a header", `${start}Authorization: Bearer\n x\r\n\r\n`],
    ["no host", `POST ${INFER} HTTP/1.1\r\n\r\n`],
    ["another protocol", "\x16\x03\x01\x00\xa5\x01\x00\x00"],
    ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
  ])("with %s is refused and ended", flood.each("has two readers see two requests in one"), async (_, text) => {
    const received = await sendByHand(address, text); // until the server ends it
    // Nothing was answered a second time: what followed was not taken for another request.
    expect(received.match(/^HTTP\/1\.1 /gm)?.length ?? 0).toBeLessThanOrEqual(1);
    expect([400, 401]).toContain(parseHead(received).status);
    observed("400 or 401, and the connection ends");
  });

  test(
    "with more headers than are read is refused",
    flood("sends headers without an end", "64 KiB of them"),
    async () => {
      const received = await sendByHand(address, `${start}X: ${"x".repeat(65_536)}`);
      expect(parseHead(received)).toEqual({ status: 431 });
      observed("431");
    },
  );

  test(
    "whose headers never end is ended",
    flood("holds a connection by sending slowly", "half a head, and nothing more"),
    async () => {
      const received = await sendByHand(address, start);
      expect(parseHead(received)).toEqual({ status: 408 });
      observed("408, and the connection ends");
    },
  );
});

test("what was refused over REST is in the audit log, with who and from where", async () => {
  const token = await useToken("told-of", { services: [] });
  expect(await statusOf(client.post(INFER, request, { token }))).toEqual(denied);
  expect(await statusOf(client.get("/v2", { token: null }))).toEqual(unauthenticated);
  await expect
    .poll(async () => (await audited()).filter(({ event }) => event === "call.refused"))
    .toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          code: "PERMISSION_DENIED",
          detail: { identity: "told-of", peer: "127.0.0.1", calls: expect.any(Number) },
        }),
        expect.objectContaining({
          code: "UNAUTHENTICATED",
          detail: { identity: null, peer: "127.0.0.1", calls: expect.any(Number) },
        }),
      ]),
    );
});
