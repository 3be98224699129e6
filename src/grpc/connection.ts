import { isIP } from "node:net";
import { type ServiceError, status as statusCodes } from "@grpc/grpc-js";
import { SignetError } from "../errors.ts";
import { CODE_KEY, errorFromGrpcStatus } from "./errors.ts";

const DEFAULT_PORT = 8001;

/** `HOST:PORT` as gRPC wants it, from what a person writes: the port may be left out. @throws USAGE */
export function parseServerAddress(text: string): string {
  const invalid = (found: string) => new SignetError("USAGE", `the server: expected ADDRESS:PORT, found ${found}`);
  const scheme = /^[A-Za-z][A-Za-z0-9+.-]*:\/\//.exec(text)?.[0];
  if (scheme !== undefined) throw invalid(`${JSON.stringify(text)}; leave ${scheme} out`);
  if (isIP(text) === 6) return `[${text}]:${DEFAULT_PORT}`;
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+))(?::([0-9]{1,5}))?$/.exec(text);
  const port = Number(match?.[3] ?? DEFAULT_PORT);
  if (match === null || port < 1 || port > 65_535 || (match[1] !== undefined && isIP(match[1]) !== 6)) {
    throw invalid(text === "" ? "nothing" : JSON.stringify(text));
  }
  return `${match[1] === undefined ? match[2] : `[${match[1]}]`}:${port}`;
}

export interface CallTarget {
  /** `HOST:PORT`. */
  readonly server: string;
  readonly usesTls: boolean;
  /** Of the call that failed. */
  readonly timeoutMs: number;
}

/** What a failed call was: what the server answered, or why no server did, in words instead of gRPC's. */
export function errorFromCall(failure: ServiceError, target: CallTarget): SignetError {
  if (failure.metadata?.get(CODE_KEY)[0] !== undefined) return errorFromGrpcStatus(failure);
  for (const [sign, reason] of reasons) {
    const match = sign.exec(failure.details);
    if (match === null) continue;
    const words = typeof reason === "string" ? reason : reason(match, target);
    return new SignetError("UNREACHABLE", `${target.server}: ${words}`, { cause: failure });
  }
  if (failure.code === statusCodes.DEADLINE_EXCEEDED) {
    const message = `${target.server}: no answer within ${target.timeoutMs / 1000} s`;
    return new SignetError("DEADLINE_EXCEEDED", message, { cause: failure });
  }
  return errorFromGrpcStatus(failure);
}

type Reason = string | ((match: RegExpExecArray, target: CallTarget) => string);

/** By what grpc-js, Node and OpenSSL write; the first that fits decides. */
const reasons: readonly (readonly [RegExp, Reason])[] = [
  [/ECONNREFUSED/, "nothing listens there"],
  [/Name resolution failed|ENOTFOUND|EAI_AGAIN/, "no machine of that name is known here"],
  [/EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL/, "no way leads to that address"],
  [/ETIMEDOUT|Waiting for LB pick/, "nothing answers there as a Signet server does"],
  [/Protocol error/, "that is not a Signet server"],
  [/HTTP status code (50[234])/, ([, code]) => `a proxy there does not reach the server (HTTP status ${code})`],
  [/HTTP status code (\d+)/, ([, code]) => `that is not a Signet server, it answers with HTTP status ${code}`],
  [/wrong version number|packet length too long|http request/, "the server does not speak TLS; leave --ca out"],
  [/ALTNAME_INVALID/, "the server's certificate is for another name or address"],
  // Alerts are what the server says of the client, so they come before what this client says of the server.
  [/alert certificate required/, "the server lets in nobody without a client certificate; give --cert and --key"],
  [/alert (?:unknown ca|.*certificate)/, "the server does not take this client certificate"],
  [/certificate has expired/, "the server's certificate has expired"],
  [/certificate/, "the server's certificate is not signed by the given CA"],
  [
    /Failed to connect|ECONNRESET|socket hang up|EPIPE|Connection dropped/,
    (_, { usesTls }) =>
      `the connection was closed${usesTls ? ", as by a server that does not take the client's certificate" : "; a server that speaks TLS needs --ca"}`,
  ],
];
