import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import {
  type ResolvedListen,
  resolveHttpListen,
  resolveListen,
  resolveMetricsListen,
  type ServerConfig,
} from "../../config/index.ts";
import { SignetError } from "../../errors.ts";
import type { License } from "../../license/index.ts";
import type { Examination } from "./examine.ts";
import { loadExaminedConfig, verifyRegular, withoutValues } from "./examined-config.ts";
import { Findings } from "./finding.ts";
import { serverHoldingLedger } from "./server-process.ts";

const DAY_MS = 86_400_000;
const CERTIFICATE_DAYS = 30;

/** What only the edges can tell. */
export interface DoctorEdge {
  /** Reads and tries certificate and key. @throws FILE_UNREADABLE, CONFIG_INVALID */
  verifyTls(listen: ResolvedListen): void;
  /** What grpc.health.v1 says of the server as a whole. @throws UNREACHABLE where no gRPC server answers */
  askHealth(listen: ResolvedListen): Promise<string>;
}

/** Configuration, TLS, and whether the port is free or our own server's. */
export async function examineNetwork(examination: Examination, license: License | null): Promise<Findings> {
  const findings = new Findings("network");
  const { edge } = examination;
  const config = await findings.attempt("configuration", () => loadExaminedConfig(examination));
  if (config === null) return findings;
  reportConfiguration(findings, config, license);
  const listen = await findings.attempt("address", () => withoutValues(() => resolveListen(config)));
  if (listen === null) return findings;
  await findings.attempt("REST address", () => withoutValues(() => resolveHttpListen(config)));
  await findings.attempt("metrics address", () => withoutValues(() => resolveMetricsListen(config)));
  const { tls } = listen;
  if (tls !== null) {
    await findings.attempt("TLS", () => {
      for (const path of [tls.cert, tls.key, tls.clientCa ?? tls.cert]) verifyRegular(path);
      edge.verifyTls(listen);
      reportCertificate(findings, tls.cert, examination.around.now.getTime());
    });
  }
  await reportPort(findings, listen, examination);
  return findings;
}

function reportConfiguration(findings: Findings, config: ServerConfig, license: License | null): void {
  const licensed = license?.services.map(({ name }) => name) ?? null;
  const unknown = Object.keys(config.services).filter((name) => licensed !== null && !licensed.includes(name));
  if (unknown.length === 0) findings.ok("configuration", "understood");
  else {
    const found = `has settings for services that are not licensed: ${unknown.join(", ")}`;
    findings.note("configuration", found, "Correct their names in signet.yaml, or take them out.");
  }
}

function reportCertificate(findings: Findings, file: string, nowMs: number): void {
  const { validToDate } = new X509Certificate(readFileSync(file));
  const daysLeft = Math.floor((validToDate.getTime() - nowMs) / DAY_MS);
  const next = "Put a new certificate in its place and restart the server.";
  if (daysLeft < 0) findings.problem("TLS", `the certificate expired ${-daysLeft} days ago`, next);
  else if (daysLeft < CERTIFICATE_DAYS) findings.note("TLS", `the certificate expires in ${daysLeft} days`, next);
  else findings.ok("TLS", `certificate and key fit; ${daysLeft} days left`);
}

async function reportPort(findings: Findings, listen: ResolvedListen, examination: Examination): Promise<void> {
  const where = describeAddress(listen);
  const refusal = await tryToListen(listen);
  if (refusal === null) {
    findings.ok("port", `${where} is free; no server runs there`);
    return;
  }
  if (refusal === "EADDRINUSE") {
    await reportServer(findings, where, listen, examination);
    return;
  }
  const next =
    refusal === "EACCES"
      ? "Ports below 1024 are for root: choose a higher one, or give the service CAP_NET_BIND_SERVICE."
      : "Correct `listen` in signet.yaml to an address of this machine.";
  findings.problem("port", `${where} cannot be listened on (${refusal})`, next);
}

async function reportServer(
  findings: Findings,
  where: string,
  listen: ResolvedListen,
  examination: Examination,
): Promise<void> {
  const isOurs = serverHoldingLedger(examination) !== null;
  const server = isOurs ? "this host's server" : "a gRPC server";
  try {
    const health = await examination.edge.askHealth(listen);
    if (health === "SERVING") findings.ok("port", `${server} answers at ${where}: SERVING`);
    else {
      const next = "A service is starting or its plugin fails: the server's log says which.";
      findings.problem("port", `${server} answers at ${where}: ${health}`, next);
    }
  } catch {
    if (isOurs && listen.tls?.requireClientCertificate) {
      findings.ok("port", `${server} has ${where}; its health is for those with a client certificate`);
      return;
    }
    const found = isOurs
      ? `this host's server has ${where}, but does not answer its health check`
      : `another program has ${where}`;
    const next = isOurs
      ? "Look at the server's log; restart it if it hangs."
      : new SignetError("ADDRESS_IN_USE", "").next;
    findings.problem("port", found, next);
  }
}

/** For an instant, which is all that a port that is free can be asked. Null where it worked, else the system's word. */
function tryToListen({ host, port }: ResolvedListen): Promise<string | null> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "unknown error"));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)));
  });
}

/** Which of its addresses a machine listens on is nobody else's business; whether others can reach it is. */
function describeAddress({ host, port, tls }: ResolvedListen): string {
  const isLoopback = host === "::1" || host.startsWith("127.");
  const isAny = host === "0.0.0.0" || host === "::";
  const place = isLoopback ? "loopback" : isAny ? "every address" : "one address";
  return `port ${port} of ${place}${tls === null ? ", plaintext" : ", TLS"}`;
}
