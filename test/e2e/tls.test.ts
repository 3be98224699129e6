import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { readAudit } from "../../src/audit/index.ts";
import { createClientPair, createTlsDirectory, renewServerPair, type WrittenPair } from "../../src/certs/index.ts";
import { type ClientOptions, InferenceClient } from "../../src/grpc/index.ts";
import { openHostKey } from "../../src/license/index.ts";
import { addCertificate, auditPlaceOf, type Role, readTokens, removeToken } from "../../src/service/index.ts";
import { attacksOn, observed } from "../helpers/attack.ts";
import { identityService, startLicensedServer } from "../helpers/licensed-host.ts";

const attack = attacksOn("connections and certificates");

const DAY_MS = 86_400_000;
const valid = { now: new Date(), days: 30 };

let root: string;
let tlsDir: string;
let caFile: string;
let host: Awaited<ReturnType<typeof startLicensedServer>>;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "signet-tls-"));
  tlsDir = join(root, "tls");
  const made = await createTlsDirectory(tlsDir, ["localhost", "127.0.0.1"], valid);
  caFile = made.authorityFile;
  const tls = { cert: made.certificateFile, key: made.keyFile, clientCa: caFile };
  host = await startLicensedServer([{ ...identityService, limits: { runs: 1_000_000 } }], { tls });
});

afterAll(async () => {
  await host?.end();
  rmSync(root, { recursive: true, force: true });
});

function useClient(options: Partial<ClientOptions>): InferenceClient {
  const client = new InferenceClient({ server: host.server.address, caFile, timeoutMs: 10_000, ...options });
  onTestFinished(() => client.close());
  return client;
}

/** "answered", or the code of what came instead. */
function outcome(options: Partial<ClientOptions>, address = host.server.address): Promise<string> {
  return infer(useClient({ server: address, ...options }));
}

function infer(client: InferenceClient): Promise<string> {
  const input = { name: "input", datatype: "UINT8", shape: [1], data: Buffer.of(7) };
  return client.infer("identity", [input]).then(
    () => "answered",
    (error) => error.code,
  );
}

function pairOf({ certificateFile, keyFile }: WrittenPair) {
  return { certFile: certificateFile, keyFile };
}

/** A client's certificate, of the server's authority unless told otherwise. */
function clientPair(name: string, authority = tlsDir, issuing = valid): Promise<WrittenPair> {
  return createClientPair(authority, name, join(root, "clients"), issuing);
}

/** Lets a certificate in and waits until the running server knows. */
async function letIn(pair: WrittenPair, name: string, role: Role = "client", services: "all" | string[] = "all") {
  const grant = { name, role, services, expires: null };
  const record = await addCertificate(host.data.accessFile, grant, readFileSync(pair.certificateFile));
  await serverKnowsAccess();
  return record;
}

/** The server looks at the file at a call, about once a second; a certificate made for it tells when it has. */
async function serverKnowsAccess() {
  const name = `marker-${randomBytes(4).toString("hex")}`;
  const pair = await clientPair(name);
  const grant = { name, role: "client", services: "all", expires: null } as const;
  await addCertificate(host.data.accessFile, grant, readFileSync(pair.certificateFile));
  const client = useClient(pairOf(pair));
  await vi.waitFor(async () => expect(await infer(client)).toBe("answered"), { timeout: 10_000 });
}

async function anotherAuthority(): Promise<string> {
  const directory = join(root, `other-${randomBytes(4).toString("hex")}`);
  await createTlsDirectory(directory, ["localhost"], valid);
  return directory;
}

/** The SHA-256 of the certificate that a new connection gets. */
function presented(): Promise<string> {
  const [address, port] = host.server.address.split(":");
  return new Promise((resolve, reject) => {
    const options = { host: address!, port: Number(port), ca: readFileSync(caFile), ALPNProtocols: ["h2"] };
    const socket = connect(options, () => {
      resolve(socket.getPeerX509Certificate()!.fingerprint256);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

describe("a connection", () => {
  test("with the site's authority and a token is served", async () => {
    expect(await outcome({ token: host.token })).toBe("answered");
  });

  test(
    "that trusts another authority, or speaks plaintext, is none",
    attack("stands between client and server", "another authority's certificate; plaintext"),
    async () => {
      const other = await anotherAuthority();
      expect(await outcome({ token: host.token, caFile: join(other, "ca.crt"), timeoutMs: 2000 })).toBe("UNREACHABLE");
      expect(await outcome({ token: host.token, caFile: undefined, timeoutMs: 2000 })).not.toBe("answered");
      observed("there is no connection");
    },
  );

  test(
    "without token and certificate is a stranger's",
    attack("calls with neither token nor certificate", "TLS alone"),
    async () => {
      expect(await outcome({})).toBe("UNAUTHENTICATED");
    },
  );
});

describe("a client certificate", () => {
  test(
    "that was let in is somebody, with a role and grants",
    attack("uses a certificate with less than it wants", "a viewer's, another service's"),
    async () => {
      const [caller, viewer, other] = [
        await clientPair("caller"),
        await clientPair("viewer"),
        await clientPair("other"),
      ];
      await letIn(caller, "caller", "client", ["identity"]);
      await letIn(viewer, "viewer", "viewer");
      await letIn(other, "other", "client", ["something-else"]);
      expect(await outcome(pairOf(caller))).toBe("answered");
      expect(await outcome(pairOf(viewer))).toBe("PERMISSION_DENIED");
      expect(await outcome(pairOf(other))).toBe("PERMISSION_DENIED");
      await useClient(pairOf(viewer)).modelMetadata("identity");
    },
  );

  test(
    "that the authority signed, but nobody let in, is nobody's",
    attack("uses a certificate that nobody let in", "of the right authority"),
    async () => {
      expect(await outcome(pairOf(await clientPair("unknown")))).toBe("UNAUTHENTICATED");
    },
  );

  test(
    "of another authority is none, even if it was let in",
    attack("uses a certificate of another authority", "let in by its digest"),
    async () => {
      const pair = await clientPair("foreign", await anotherAuthority());
      await letIn(pair, "foreign");
      expect(await outcome(pairOf(pair))).toBe("UNAUTHENTICATED");
    },
  );

  test(
    "that has expired is none, and is not let in either",
    attack("uses an expired certificate", "written into access.json by hand"),
    async () => {
      const pair = await clientPair("expired", tlsDir, { now: new Date(Date.now() - 60 * DAY_MS), days: 30 });
      await expect(letIn(pair, "expired")).rejects.toMatchObject({ code: "USAGE" });
      const file = JSON.parse(readFileSync(host.data.accessFile, "utf8"));
      const certificateSha256 = pair.certificate.fingerprint256.replaceAll(":", "").toLowerCase();
      const { secretSha256: _, ...like } = file.tokens[0];
      file.tokens.push({ ...like, id: "expired1", name: "expired", certificateSha256, expires: null });
      writeFileSync(host.data.accessFile, JSON.stringify(file));
      await serverKnowsAccess();
      expect(await outcome(pairOf(pair))).toBe("UNAUTHENTICATED");
    },
  );

  test(
    "that was made for a server does not serve a client",
    attack("uses the server's certificate as a client", "let in by its digest"),
    async () => {
      const server = { certificateFile: join(tlsDir, "server.crt"), keyFile: join(tlsDir, "server.key") };
      await letIn(server as WrittenPair, "server");
      expect(await outcome({ certFile: server.certificateFile, keyFile: server.keyFile })).toBe("UNAUTHENTICATED");
    },
  );

  test(
    "that is removed opens nothing any more, on connections that are open too",
    attack("goes on with a removed certificate", "on an open connection"),
    async () => {
      const pair = await clientPair("short-lived");
      const record = await letIn(pair, "short-lived");
      const client = useClient(pairOf(pair));
      expect(await infer(client)).toBe("answered");
      await removeToken(host.data.accessFile, record.id);
      await expect.poll(() => infer(client)).toBe("UNAUTHENTICATED");
    },
  );

  test(
    "helps nobody whose token is wrong, and does not hinder who has a right one",
    attack("adds a good certificate to a wrong token", "both in one call"),
    async () => {
      const pair = await clientPair("with-token");
      await letIn(pair, "with-token", "viewer");
      expect(await outcome({ ...pairOf(pair), token: "sgn_nonsense" })).toBe("UNAUTHENTICATED");
      expect(await outcome({ ...pairOf(pair), token: host.token })).toBe("answered");
    },
  );

  test(
    "can be required: then nobody gets a connection without one",
    attack("connects without a certificate where one is required", "a token alone, another authority's certificate"),
    async () => {
      const pair = await clientPair("required");
      const tls = { cert: join(tlsDir, "server.crt"), key: join(tlsDir, "server.key"), clientCa: caFile };
      const strict = await startLicensedServer([identityService], { tls: { ...tls, requireClientCertificate: true } });
      onTestFinished(strict.end);
      const { address } = strict.server;
      const foreign = await clientPair("required-foreign", await anotherAuthority());
      const timeoutMs = 3000;
      expect(await outcome({ token: strict.token, timeoutMs }, address)).toBe("UNREACHABLE");
      expect(await outcome({ ...pairOf(foreign), token: strict.token, timeoutMs }, address)).toBe("UNREACHABLE");
      observed("the connection is refused");
      expect(await outcome({ ...pairOf(pair), token: strict.token }, address)).toBe("answered");
    },
  );
});

describe("new certificate files", () => {
  test("are used by new connections while calls of open ones go on", async () => {
    const before = await presented();
    const client = useClient({ token: host.token });
    const outcomes: string[] = [];
    let isDone = false;
    const calling = (async () => {
      while (!isDone) outcomes.push(await infer(client));
    })();
    const made = await renewServerPair(tlsDir, [], valid);
    expect(made.certificate.subjectAltName).toBe("DNS:localhost, IP Address:127.0.0.1");
    host.server.reloadCertificates();
    expect(await presented()).toBe(made.certificate.fingerprint256);
    expect(made.certificate.fingerprint256).not.toBe(before);
    const called = outcomes.length;
    await vi.waitFor(() => expect(outcomes.length).toBeGreaterThan(called + 10), { timeout: 10_000 });
    isDone = true;
    await calling;
    expect(new Set(outcomes)).toEqual(new Set(["answered"]));
    const events: string[] = [];
    await vi.waitFor(async () => {
      const place = auditPlaceOf(host.data, await openHostKey(host.data.hostDir));
      await readAudit(place, ({ event }) => events.push(event));
      expect(events).toContain("tls.reloaded");
    });
  });

  test("are found without being told", async () => {
    const made = await renewServerPair(tlsDir, [], valid);
    await expect.poll(presented, { timeout: 10_000 }).toBe(made.certificate.fingerprint256);
  });

  test("that do not fit, or are missing or nonsense, leave the ones in use", async () => {
    const before = await presented();
    const [cert, key] = [join(tlsDir, "server.crt"), join(tlsDir, "server.key")];
    const [goodCert, goodKey] = [readFileSync(cert), readFileSync(key)];
    const other = readFileSync(join(await anotherAuthority(), "server.key"));
    for (const damage of [
      () => writeFileSync(key, other),
      () => writeFileSync(cert, "nonsense"),
      () => rmSync(key),
      () => writeFileSync(cert, ""),
    ]) {
      damage();
      host.server.reloadCertificates();
      expect(await presented()).toBe(before);
    }
    writeFileSync(cert, goodCert);
    writeFileSync(key, goodKey);
    host.server.reloadCertificates();
    expect(await presented()).toBe(before);
    expect(readTokens(host.data.accessFile).length).toBeGreaterThan(0);
    expect(await outcome({ token: host.token })).toBe("answered");
  });
});
