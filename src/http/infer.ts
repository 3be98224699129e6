import type { LicenseTime } from "../license/index.ts";
import type { Inference } from "../service/index.ts";
import { Answer, type Call } from "./call.ts";
import { decodeInferRequest, encodeInferResponse, type InferResponse } from "./tensors.ts";

/** With how many bytes of JSON a body begins that has binary data behind it. */
const LENGTH_HEADER = "inference-header-content-length";

/** One inference. */
export async function infer(inference: Inference, call: Call): Promise<Answer> {
  const service = call.part("model");
  const { identity, peer, signal } = call;
  // Before its body is read, which may be large.
  identity.require("infer", service);
  const request = decodeInferRequest(await call.body(), call.header(LENGTH_HEADER));
  const { version, outputs, nearEnd } = await inference.infer(identity, {
    service,
    version: call.part("version"),
    ...request,
    peer,
    deadlineMs: Number.POSITIVE_INFINITY, // HTTP has none: the service's own applies
    signal,
  });
  return answerOf(encodeInferResponse(request, { service, version, outputs }), nearEnd);
}

function answerOf({ json, binary }: InferResponse, nearEnd: LicenseTime | null): Answer {
  const headers = nearEnd === null ? {} : licenseHeaders(nearEnd);
  if (binary === null) return new Answer(200, json, headers);
  return new Answer(200, Buffer.concat([json, ...binary]), {
    ...headers,
    "content-type": "application/octet-stream",
    [LENGTH_HEADER]: `${json.byteLength}`,
  });
}

/** Tells whoever calls that the license is near its end, before calls are refused. */
export function licenseHeaders({ phase, daysLeft }: LicenseTime): Record<string, string> {
  return {
    "signet-license-state": phase === "valid" ? "expiring" : phase,
    "signet-license-days-left": `${daysLeft}`,
  };
}
