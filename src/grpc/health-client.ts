import { ChannelCredentials, Client } from "@grpc/grpc-js";
import { service as healthService } from "grpc-health-check";
import type { ResolvedListen } from "../config/index.ts";
import { errorFromGrpcStatus } from "./errors.ts";

const TIMEOUT_MS = 3000;

/**
 * Asks a server on this machine how it is. Over TLS its certificate is not judged: nothing secret is sent, and a
 * certificate for the outside need not be valid for the loopback address.
 * @returns SERVING, NOT_SERVING or another name of grpc.health.v1
 * @throws UNREACHABLE and others where nothing that speaks gRPC answers
 */
export function askHealth({ host, port, tls }: ResolvedListen): Promise<string> {
  const own = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  const credentials =
    tls === null
      ? ChannelCredentials.createInsecure()
      : ChannelCredentials.createSsl(null, null, null, { rejectUnauthorized: false });
  const client = new Client(own.includes(":") ? `[${own}]:${port}` : `${own}:${port}`, credentials);
  const { path, requestSerialize, responseDeserialize } = healthService.Check!;
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  client.makeUnaryRequest(
    path,
    requestSerialize,
    responseDeserialize,
    { service: "" },
    { deadline: Date.now() + TIMEOUT_MS },
    (error, response) => {
      if (error) reject(errorFromGrpcStatus(error));
      else resolve(String((response as { readonly status?: unknown } | undefined)?.status));
    },
  );
  return promise.finally(() => client.close());
}
