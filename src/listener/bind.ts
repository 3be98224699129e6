import { createServer } from "node:net";
import type { ResolvedListen } from "../config/index.ts";
import { SignetError } from "../errors.ts";

/**
 * Binds the address and lets it go again, so that a wrong one is told before models are loaded for nothing. It is
 * the real bind that decides: the address may be taken in between.
 * @throws ADDRESS_IN_USE, ADDRESS_UNUSABLE
 */
export function verifyBindable({ address, host, port }: ResolvedListen): Promise<void> {
  const probe = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    probe.once("error", (error: NodeJS.ErrnoException) => reject(errorFromBind(address, error)));
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve()));
  });
}

/** Why an address could not be bound, from Node's error or from gRPC's, which quotes it. */
export function errorFromBind(address: string, error: Error): SignetError {
  const found = /\bE[A-Z]{3,}\b/.exec(error.message)?.[0] ?? "";
  if (found === "EADDRINUSE") {
    return new SignetError("ADDRESS_IN_USE", `${address}: another program listens there`, { cause: error });
  }
  const words = reasons.get(found) ?? (/resolution/.test(error.message) ? unknownName : found || "it cannot be bound");
  return new SignetError("ADDRESS_UNUSABLE", `${address}: ${words}`, { cause: error });
}

const notOurs = "this machine does not have that address";
const unknownName = "no address of that name is known here";
const reasons = new Map([
  ["EADDRNOTAVAIL", notOurs],
  ["EINVAL", notOurs], // a link-local IPv6 address without its interface
  ["EAFNOSUPPORT", "this machine has no addresses of that family"],
  ["EACCES", "this user may not listen on that port"],
  ["ENOTFOUND", unknownName],
  ["EAI_AGAIN", unknownName],
]);
