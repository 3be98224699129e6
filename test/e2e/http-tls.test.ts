import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createClientPair, createTlsDirectory, renewServerPair, type WrittenPair } from "../../src/certs/index.ts";
import { addCertificate, removeToken } from "../../src/service/index.ts";
import { attacksOn, observed } from "../helpers/attack.ts";
import { identityService, startLicensedServer } from "../helpers/licensed-host.ts";
import { RestClient, sendByHand, statusOf } from "../helpers/rest-client.ts";

const attack = attacksOn("connections and certificates");

const valid = { now: new Date(), days: 30 };
const unauthenticated = { status: 401, code: "UNAUTHENTICATED" };
const request = { inputs: [{ name: "input", datatype: "UINT8", shape: [1], data: [7] }] };

let root: string;
let tlsDir: string;
let ca: Buffer;
let tls: { cert: string; key: string; clientCa: string };
let host: Awaited<ReturnType<typeof startLicensedServer>>;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "signet-http-tls-"));
  tlsDir = join(root, "tls");
  const made = await createTlsDirectory(tlsDir, ["localhost", "127.0.0.1"], valid);
  ca = readFileSync(made.authorityFile);
  tls = { cert: made.certificateFile, key: made.keyFile, clientCa: made.authorityFile };
  host = await startLicensedServer([identityService], { http: { listen: "127.0.0.1:0" }, tls });
});

afterAll(async () => {
  await host?.end();
  rmSync(root, { recursive: true, force: true });
});

function clientWith(pair: WrittenPair | null, token: string | null = null, address = host.server.httpAddress!) {
  const own = pair && { cert: readFileSync(pair.certificateFile), key: readFileSync(pair.keyFile) };
  return new RestClient(address, token, { ca, ...own });
}

const infer = (client: RestClient) => statusOf(client.post("/v2/models/identity/infer", request));
const clientPair = (name: string, authority = tlsDir) =>
  createClientPair(authority, name, join(root, "clients"), valid);

/** Lets a certificate in and waits until the running server knows. */
async function letIn(pair: WrittenPair, name: string, role: "client" | "viewer" = "client") {
  const grant = { name, role, services: "all", expires: null } as const;
  const record = await addCertificate(host.data.accessFile, grant, readFileSync(pair.certificateFile));
  return record;
}

async function anotherAuthority(): Promise<string> {
  const directory = mkdtempSync(join(root, "other-"));
  await createTlsDirectory(join(directory, "tls"), ["localhost"], valid);
  return join(directory, "tls");
}

/** A TLS connection by hand. */
function handshake(options: object = {}): Promise<TLSSocket> {
  const [address, port] = host.server.httpAddress!.split(":");
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address!, port: Number(port), ca, ...options }, () => resolve(socket));
    socket.on("error", reject);
    onTestFinished(() => void socket.destroy());
  });
}

const presented = async () => (await handshake()).getPeerX509Certificate()!.fingerprint256;

describe("REST with TLS", () => {
  test("serves who has a token, and trusts the site's authority", async () => {
    expect(await infer(clientWith(null, host.token))).toEqual({ status: 200 });
    expect((await handshake()).alpnProtocol).toBe(false);
  });

  test("does not speak plaintext", attack("speaks plaintext to the REST port", "HTTP with a good token"), async () => {
    const text = `GET /v2 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${host.token}\r\n\r\n`;
    expect(await sendByHand(host.server.httpAddress!, text)).not.toContain("HTTP/1.1 200");
    observed("the connection is ended");
  });

  test("has no version before 1.2", attack("speaks an old TLS to the REST port", "TLS 1.1"), async () => {
    const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" };
    await expect(handshake(old)).rejects.toThrow();
    observed("there is no connection");
  });

  test(
    "does not let a client change its certificate on the way",
    attack("exchanges its certificate on an open REST connection", "TLS 1.2 renegotiation"),
    async () => {
      const socket = await handshake({ maxVersion: "TLSv1.2" });
      let isRenegotiated = false;
      const ended = new Promise((resolve) => socket.on("close", resolve));
      socket.on("error", () => undefined).resume();
      socket.renegotiate({}, (error) => {
        isRenegotiated = error === null || error === undefined;
      });
      await ended;
      expect(isRenegotiated).toBe(false);
      observed("the connection is ended");
    },
  );
});

describe("a client certificate over REST", () => {
  test(
    "that was let in is somebody, with a role",
    attack("uses a viewer's certificate over REST", "to infer"),
    async () => {
      const [caller, viewer] = [await clientPair("caller"), await clientPair("viewer")];
      await letIn(caller, "caller");
      await letIn(viewer, "viewer", "viewer");
      await expect.poll(() => infer(clientWith(caller))).toEqual({ status: 200 });
      expect(await infer(clientWith(viewer))).toEqual({ status: 403, code: "PERMISSION_DENIED" });
      expect((await clientWith(viewer).get("/v2/models/identity")).status).toBe(200);
    },
  );

  test(
    "that nobody let in, or that another authority signed, is nobody's",
    attack("uses a certificate over REST that does not count", "not let in; of another authority; the server's own"),
    async () => {
      expect(await infer(clientWith(await clientPair("unknown")))).toEqual(unauthenticated);
      const foreign = await clientPair("foreign", await anotherAuthority());
      await letIn(foreign, "foreign");
      const server = { certificateFile: tls.cert, keyFile: tls.key } as WrittenPair;
      await letIn(server, "server");
      const marker = await clientPair("marker");
      await letIn(marker, "marker");
      await expect.poll(() => infer(clientWith(marker))).toEqual({ status: 200 });
      expect(await infer(clientWith(foreign))).toEqual(unauthenticated);
      expect(await infer(clientWith(server))).toEqual(unauthenticated);
    },
  );

  test(
    "that is removed opens nothing any more",
    attack("goes on over REST with a removed certificate", "while the server runs"),
    async () => {
      const pair = await clientPair("short-lived");
      const { id } = await letIn(pair, "short-lived");
      await expect.poll(() => infer(clientWith(pair))).toEqual({ status: 200 });
      await removeToken(host.data.accessFile, id);
      await expect.poll(() => infer(clientWith(pair))).toEqual(unauthenticated);
    },
  );

  test(
    "can be required: then nobody gets a connection without one",
    attack("connects to REST without a certificate where one is required", "a token alone, another authority's"),
    async () => {
      const config = { http: { listen: "127.0.0.1:0" }, tls: { ...tls, requireClientCertificate: true } };
      const strict = await startLicensedServer([identityService], config);
      onTestFinished(strict.end);
      const address = strict.server.httpAddress!;
      const foreign = await clientPair("required-foreign", await anotherAuthority());
      await expect(infer(clientWith(null, strict.token, address))).rejects.toThrow();
      await expect(infer(clientWith(foreign, strict.token, address))).rejects.toThrow();
      observed("the connection is refused");
      expect(await infer(clientWith(await clientPair("required"), strict.token, address))).toEqual({ status: 200 });
    },
  );
});

test("new certificate files are used by new REST connections, and told of once", async () => {
  const before = await presented();
  const made = await renewServerPair(tlsDir, [], valid);
  host.server.reloadCertificates();
  expect(await presented()).toBe(made.certificate.fingerprint256);
  expect(made.certificate.fingerprint256).not.toBe(before);
  expect(host.log.filter(({ msg }) => msg === "new TLS certificates are in use")).toHaveLength(1);
  expect(await infer(clientWith(null, host.token))).toEqual({ status: 200 });
});
