import type { IncomingMessage } from "node:http";
import { SignetError } from "../errors.ts";

/** How long a browser may remember what it may do, s. Chromium's own limit. */
const REMEMBERED_S = 7200;

/** Of an answer, what a page of another origin may read beside its content type. */
const EXPOSED_HEADERS = [
  ...["signet-code", "signet-license-state", "signet-license-days-left", "inference-header-content-length"],
  ...["retry-after", "grpc-status", "grpc-message"],
].join(", ");

/**
 * Which pages may call, by where they come from (fetch.spec.whatwg.org, "CORS protocol"). Only browsers send an origin.
 * What comes from another one is not only kept from reading the answer: it does not begin, because a browser may add its
 * user's client certificate to what anybody's page sends.
 */
export class Origins {
  readonly #listed: ReadonlySet<string>;

  constructor(listed: readonly string[]) {
    this.#listed = new Set(listed);
  }

  /** What every answer to the request says. @throws ORIGIN_NOT_ALLOWED */
  headersFor({ headers: { origin, host } }: IncomingMessage): Record<string, string> {
    if (origin === undefined) return {};
    if (this.#listed.has(origin)) {
      return {
        "access-control-allow-origin": origin,
        "access-control-expose-headers": EXPOSED_HEADERS,
        vary: "origin",
      };
    }
    if (URL.canParse(origin) && new URL(origin).host === host) return {};
    const words = `origin: expected one of http.origins, found ${JSON.stringify(origin.slice(0, 200))}`;
    throw new SignetError("ORIGIN_NOT_ALLOWED", words);
  }
}

/** A browser asks so before it sends what a page wants to. */
export function isPreflight({ method, headers }: IncomingMessage): boolean {
  return method === "OPTIONS" && headers.origin !== undefined && "access-control-request-method" in headers;
}

/** What a preflight is answered, beside what every answer says. */
export const preflightHeaders: Readonly<Record<string, string>> = {
  "access-control-allow-methods": "GET, POST",
  // The star stands for every header but this one.
  "access-control-allow-headers": "authorization, *",
  "access-control-max-age": `${REMEMBERED_S}`,
};
