import type { LicenseTime } from "../license/index.ts";
import type { Identity, Inference } from "../service/index.ts";
import type { InferResponseMessage } from "./messages.ts";
import { encodeInferResponse, type InferRequest } from "./tensors.ts";

/** Who asks for an inference, and for how long. */
export interface InferCaller {
  readonly identity: Identity;
  /** The client's address. */
  readonly peer: string;
  /** On the clock of performance.now(). */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

export interface InferAnswer {
  readonly response: InferResponseMessage;
  /** Where the service's license stands; null while its end is far. */
  readonly nearEnd: LicenseTime | null;
}

/** One inference, whichever call it came by. */
export async function infer(
  inference: Inference,
  request: InferRequest,
  { identity, ...caller }: InferCaller,
): Promise<InferAnswer> {
  const { version, outputs, nearEnd } = await inference.infer(identity, { ...request, ...caller });
  return { response: encodeInferResponse(request, version, outputs), nearEnd };
}
