import type { HeaderBlock } from "./hpack-decoder.ts";

/** The headers of a call, valid as RFC 9113 section 8.3 wants them. Shared by calls that say the same: never changed. */
export class RequestHead {
  readonly method: string;
  /** Empty for CONNECT. */
  readonly path: string;
  /** Names and values by turns, pseudo-headers first. */
  readonly fields: readonly string[];
  /** What the client says its content has; -1 where it says nothing. */
  readonly contentLength: number;
  #object: Record<string, string> | undefined;

  constructor(method: string, path: string, fields: readonly string[], contentLength: number) {
    this.method = method;
    this.path = path;
    this.fields = fields;
    this.contentLength = contentLength;
  }

  /** The first value of a header, or undefined. */
  get(name: string): string | undefined {
    for (let field = 0; field < this.fields.length; field += 2) {
      if (this.fields[field] === name) return this.fields[field + 1];
    }
    return undefined;
  }

  /** As Node's http2 gives it: one property for each name, repeated values joined. Not to be changed either. */
  get object(): Record<string, string> {
    this.#object ??= objectFromFields(this.fields);
    return this.#object;
  }
}

/** Section 8.2.2: they belong to connections of HTTP/1.1. */
const connectionHeaders: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);
const requestPseudoHeaders: ReadonlySet<string> = new Set([":method", ":scheme", ":path", ":authority"]);

/** The head of a request, or null where it is malformed (sections 8.2 and 8.3.1). */
export function readRequestHead({ fields, isMalformed }: HeaderBlock): RequestHead | null {
  if (isMalformed) return null;
  let method: string | undefined;
  let scheme: string | undefined;
  let path: string | undefined;
  let authority: string | undefined;
  let contentLength = -1;
  let isRegular = false;
  for (let field = 0; field < fields.length; field += 2) {
    const name = fields[field]!;
    const value = fields[field + 1]!;
    if (name.charCodeAt(0) === COLON) {
      if (isRegular || !requestPseudoHeaders.has(name)) return null;
      if (name === ":method" && method === undefined) method = value;
      else if (name === ":scheme" && scheme === undefined) scheme = value;
      else if (name === ":path" && path === undefined) path = value;
      else if (name === ":authority" && authority === undefined) authority = value;
      else return null; // twice
      continue;
    }
    isRegular = true;
    if (connectionHeaders.has(name) || (name === "te" && value !== "trailers")) return null;
    if (name === "content-length") {
      if (!/^[0-9]{1,15}$/.test(value) || (contentLength >= 0 && contentLength !== Number(value))) return null;
      contentLength = Number(value);
    }
  }
  if (method === undefined || !METHOD.test(method)) return null;
  if (authority !== undefined && !AUTHORITY.test(authority)) return null;
  if (method === "CONNECT") {
    const isComplete = authority !== undefined && scheme === undefined && path === undefined;
    return isComplete ? new RequestHead(method, "", fields, contentLength) : null;
  }
  if (scheme === undefined || !SCHEME.test(scheme) || path === undefined) return null;
  const isPathValid = PATH.test(path) || (path === "*" && method === "OPTIONS");
  return isPathValid ? new RequestHead(method, path, fields, contentLength) : null;
}

/** Whether headers that follow the content may be there (section 8.1). What they say interests nobody in gRPC. */
export function areTrailersValid({ fields, isMalformed }: HeaderBlock): boolean {
  if (isMalformed) return false;
  for (let field = 0; field < fields.length; field += 2) {
    const name = fields[field]!;
    if (name.charCodeAt(0) === COLON || connectionHeaders.has(name)) return false;
  }
  return true;
}

const COLON = 0x3a;
/** RFC 9110 section 9.1, RFC 3986 sections 3.1 to 3.3; bytes from 0x80 in a path are taken, as everywhere. */
const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*$/;
const AUTHORITY = /^[A-Za-z0-9._~%!$&'()*+,;=:@[\]-]+$/;
const PATH = /^\/[\x21-\x7e\x80-\xff]*$/;

/** Node takes the first of these where one is repeated; joining them would make something new. */
const singleHeaders: ReadonlySet<string> = new Set([
  ...["authorization", "content-length", "content-type", "from", "grpc-timeout", "host", "max-forwards", "referer"],
  ...["te", "user-agent"],
]);

function objectFromFields(fields: readonly string[]): Record<string, string> {
  // Without a prototype: names come from strangers.
  const object: Record<string, string> = Object.create(null);
  for (let field = 0; field < fields.length; field += 2) {
    const name = fields[field]!;
    const value = fields[field + 1]!;
    const before = object[name];
    if (before === undefined) object[name] = value;
    else if (!singleHeaders.has(name)) object[name] = `${before}${name === "cookie" ? "; " : ", "}${value}`;
  }
  return object;
}
