import { SignetError } from "../errors.ts";
import type { CancelReason, DirectCall, DirectReceiver, DirectRoute } from "../http2/index.ts";
import type { GateParts, InferCall, InferenceEnd, InferenceResult } from "../service/index.ts";
import { licenseFields } from "./call.ts";
import { admitDirect, type DirectCaller, failDirect } from "./direct-gate.ts";
import { receiveStream } from "./direct-stream.ts";
import type { InferenceEdge } from "./inference.ts";
import { encodeInferResponseParts, inferenceService } from "./messages.ts";
import { decodeInferRequest, encodeInferResponse, type InferRequest } from "./tensors.ts";

const OK = 0;
const UNIMPLEMENTED = 12;

/**
 * The calls that come straight from our own transport, without grpc-js between: the same gate, the same request and the same
 * answers as inference.ts has. The tests of what clients see run on both transports, and so on both of these paths.
 */
export function directRoutes(edge: InferenceEdge & GateParts): ReadonlyMap<string, DirectRoute> {
  const { ModelInfer, ModelStreamInfer } = inferenceService();
  return new Map([
    [ModelInfer.path, (call) => receive(edge, call)],
    [ModelStreamInfer.path, (call) => receiveStream(edge, call)],
  ]);
}

function receive(edge: InferenceEdge & GateParts, call: DirectCall): DirectReceiver | null {
  const caller = admitDirect(edge, call);
  return caller && new DirectInfer(edge, caller, call);
}

/** One ModelInfer. */
class DirectInfer implements DirectReceiver, InferenceEnd {
  readonly #edge: InferenceEdge;
  readonly #caller: DirectCaller;
  readonly #call: DirectCall;
  #message: Buffer | undefined;
  #request: InferRequest | undefined;
  #running: InferCall | undefined;

  constructor(edge: InferenceEdge, caller: DirectCaller, call: DirectCall) {
    this.#edge = edge;
    this.#caller = caller;
    this.#call = call;
  }

  onMessage(call: DirectCall, message: Buffer): void {
    if (this.#message === undefined) {
      this.#message = message;
      return;
    }
    call.end(UNIMPLEMENTED, "Received a second request message for unary method ModelInfer");
    this.#caller.release();
  }

  onEnd(call: DirectCall): void {
    if (this.#message === undefined) {
      call.end(UNIMPLEMENTED, "Received no request message for unary method ModelInfer");
      this.#caller.release();
      return;
    }
    const { identity, peer } = this.#caller;
    try {
      const request = decodeInferRequest(inferenceService().ModelInfer.requestDeserialize(this.#message));
      this.#request = request;
      const { service, version, id, inputs, outputs, priority, queueTimeoutMs } = request;
      // One by one: spreading an object makes a slow one, and this is made for every call.
      const asked = {
        service,
        version,
        id,
        inputs,
        outputs,
        priority,
        queueTimeoutMs,
        peer,
        deadlineMs: call.deadlineMs,
      };
      this.#running = this.#edge.inference.begin(identity, asked, this);
    } catch (thrown) {
      this.failed(SignetError.from(thrown));
    }
  }

  onCancel(_call: DirectCall, _reason: CancelReason): void {
    // Who has asked is released with the answer, which comes at once now.
    if (this.#request === undefined) this.#caller.release();
    else this.#running?.cancel();
  }

  answered(result: InferenceResult): void {
    const call = this.#call;
    const { version, outputs, nearEnd } = result;
    const parts = encodeInferResponseParts(encodeInferResponse(this.#request!, version, outputs));
    call.release(); // the job has ended, so that nobody reads the request any more
    call.sendLent(parts, result);
    call.end(OK, "", nearEnd === null ? null : licenseFields(nearEnd));
    this.#caller.release();
  }

  failed(error: SignetError): void {
    const { identity, peer } = this.#caller;
    if (error.code === "PERMISSION_DENIED") {
      this.#edge.audit.refused({ code: error.code, identity: identity.name, peer });
    }
    failDirect(this.#call, error);
    this.#caller.release();
  }
}
