import { BlockList, isIP } from "node:net";
import { SignetError } from "../errors.ts";
import type { ServerConfig } from "./schema.ts";

export interface ListenAddress {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
}

export interface ResolvedListen extends ListenAddress {
  /** `host:port` as gRPC wants it, IPv6 in brackets. */
  readonly address: string;
  /** Whether only this machine can reach it. */
  readonly isLoopback: boolean;
  readonly tls: {
    readonly cert: string;
    readonly key: string;
    /** CA certificates of clients; null where no client is asked for a certificate. */
    readonly clientCa: string | null;
    readonly requireClientCertificate: boolean;
  } | null;
}

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/** Where to listen and whether with TLS. @throws INSECURE_LISTEN, CONFIG_INVALID */
export function resolveListen(config: Pick<ServerConfig, "listen" | "insecure" | "tls">): ResolvedListen {
  return resolve("listen", config.listen, config);
}

/** The same for REST; null where it is not turned on. @throws INSECURE_LISTEN, CONFIG_INVALID */
export function resolveHttpListen(config: Pick<ServerConfig, "http" | "insecure" | "tls">): ResolvedListen | null {
  return config.http === undefined ? null : resolve("http.listen", config.http.listen, config);
}

/** The same for metrics. @throws INSECURE_LISTEN, CONFIG_INVALID */
export function resolveMetricsListen(
  config: Pick<ServerConfig, "metrics" | "insecure" | "tls">,
): ResolvedListen | null {
  return config.metrics === undefined ? null : resolve("metrics.listen", config.metrics.listen, config);
}

function resolve(key: string, text: string, config: Pick<ServerConfig, "insecure" | "tls">): ResolvedListen {
  const { host, port } = parseListen(text, key);
  const tls = config.tls ?? null;
  if (tls === null && !config.insecure && !isLoopback(host)) {
    throw new SignetError("INSECURE_LISTEN", `${key}: expected a loopback address or tls, found ${text} in plaintext`);
  }
  return {
    host,
    port,
    address: isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`,
    isLoopback: isLoopback(host),
    tls,
  };
}

/** What `parseListen` wants, in words. */
export const LISTEN_EXPECTATION = "expected ADDRESS:PORT or [IPv6]:PORT with a port up to 65535";

/** @throws CONFIG_INVALID */
export function parseListen(text: string, key = "listen"): ListenAddress {
  const address = findListen(text);
  if (address !== undefined) return address;
  throw new SignetError("CONFIG_INVALID", `${key}: ${LISTEN_EXPECTATION}, found ${JSON.stringify(text)}`);
}

/** The address that a text names, if it names one. */
export function findListen(text: string): ListenAddress | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535 || (match?.[1] !== undefined && isIP(host) !== 6)) return undefined;
  // The name is replaced by what it must mean, so that the address judged is the address bound.
  return { host: host.toLowerCase() === "localhost" ? "127.0.0.1" : host, port };
}

/** A host name is never taken for loopback: what it resolves to can change. */
function isLoopback(host: string): boolean {
  const family = isIP(host);
  return family !== 0 && loopback.check(host, family === 4 ? "ipv4" : "ipv6");
}
