import { SignetError } from "../errors.ts";
import type { CancelReason, DirectCall, DirectReceiver, DirectRoute } from "../http2/index.ts";
import type { LicenseTime } from "../license/index.ts";
import { certificateOf, fingerprintOf } from "../listener/index.ts";
import { type GateParts, type Identity, letIn } from "../service/index.ts";
import { clientGone, licenseFields } from "./call.ts";
import { CODE_KEY, PUSHBACK_KEY, statusDetails, statusOf } from "./errors.ts";
import { infer } from "./infer.ts";
import type { InferenceEdge } from "./inference.ts";
import { encodeInferResponseParts, inferenceService } from "./messages.ts";
import { decodeInferRequest } from "./tensors.ts";

const OK = 0;
const UNIMPLEMENTED = 12;

/**
 * ModelInfer as it comes from our own transport, without grpc-js between: the same gate, the same request and the same
 * answers as inference.ts has. The tests of what clients see run on both transports, and so on both of these paths.
 */
export function directRoutes(edge: InferenceEdge & GateParts): ReadonlyMap<string, DirectRoute> {
  const { ModelInfer } = inferenceService();
  return new Map([[ModelInfer.path, (call) => receive(edge, call)]]);
}

function receive(edge: InferenceEdge & GateParts, call: DirectCall): DirectReceiver | null {
  const { socket } = call.session;
  const peer = socket.remoteAddress ?? "unknown";
  const certificate = () => fingerprintOf(call.session, () => certificateOf(socket));
  const token = call.head.get("authorization");
  const admission = letIn(
    edge,
    () => edge.access.authenticate(token, certificate),
    () => peer,
  );
  if (admission.isAdmitted) return new DirectInfer(edge, admission.identity, admission.release, peer);
  fail(call, admission.error, admission.retryAfterMs);
  return null;
}

/** One ModelInfer. */
class DirectInfer implements DirectReceiver {
  readonly #edge: InferenceEdge;
  readonly #identity: Identity;
  readonly #release: () => void;
  readonly #peer: string;
  readonly #controller = new AbortController();
  #message: Buffer | undefined;
  #isAsked = false;

  constructor(edge: InferenceEdge, identity: Identity, release: () => void, peer: string) {
    this.#edge = edge;
    this.#identity = identity;
    this.#release = release;
    this.#peer = peer;
  }

  onMessage(call: DirectCall, message: Buffer): void {
    if (this.#message === undefined) {
      this.#message = message;
      return;
    }
    call.end(UNIMPLEMENTED, "Received a second request message for unary method ModelInfer");
    this.#release();
  }

  onEnd(call: DirectCall): void {
    if (this.#message === undefined) {
      call.end(UNIMPLEMENTED, "Received no request message for unary method ModelInfer");
      this.#release();
      return;
    }
    this.#isAsked = true;
    this.#answer(call, this.#message).then(
      ([parts, nearEnd]) => {
        // The job has ended, so that nobody reads the request any more; its outputs were copied from the slot.
        call.release();
        call.sendMessage(parts);
        call.end(OK, "", nearEnd === null ? null : licenseFields(nearEnd));
        this.#release();
      },
      (thrown) => {
        const error = SignetError.from(thrown);
        if (error.code === "PERMISSION_DENIED") {
          this.#edge.audit.refused({ code: error.code, identity: this.#identity.name, peer: this.#peer });
        }
        fail(call, error, null);
        this.#release();
      },
    );
  }

  onCancel(_call: DirectCall, _reason: CancelReason): void {
    this.#controller.abort(clientGone);
    // Who has asked is released with the answer, which comes at once now.
    if (!this.#isAsked) this.#release();
  }

  async #answer(call: DirectCall, message: Buffer): Promise<[readonly Buffer[], LicenseTime | null]> {
    const request = decodeInferRequest(inferenceService().ModelInfer.requestDeserialize(message));
    const { response, nearEnd } = await infer(this.#edge.inference, request, {
      identity: this.#identity,
      peer: this.#peer,
      deadlineMs: call.deadlineMs,
      signal: this.#controller.signal,
    });
    return [encodeInferResponseParts(response), nearEnd];
  }
}

function fail(call: DirectCall, error: SignetError, retryAfterMs: number | null): void {
  const trailers = [CODE_KEY, error.code];
  if (retryAfterMs !== null) trailers.push(PUSHBACK_KEY, `${retryAfterMs}`);
  call.end(statusOf(error), statusDetails(error), trailers);
}
