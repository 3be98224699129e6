import type { SignetError } from "../errors.ts";
import type { CancelReason, DirectCall, DirectReceiver } from "../http2/index.ts";
import type { LicenseTime } from "../license/index.ts";
import type { GateParts } from "../service/index.ts";
import { licenseFields } from "./call.ts";
import { admitDirect, type DirectCaller, failDirect } from "./direct-gate.ts";
import { InferStream, type InferStreamParts, type StreamPort } from "./infer-stream.ts";
import { encodeStreamAnswerParts, inferenceService, type StreamInferResponseMessage } from "./messages.ts";

const OK = 0;
/** Answers that may wait for the client: enough to keep it busy, little enough to hold for one that reads nothing. */
const MAX_WAITING_BYTES = 256 * 1024;

/** ModelStreamInfer as it comes from our own transport, without grpc-js between. */
export function receiveStream(edge: InferStreamParts & GateParts, call: DirectCall): DirectReceiver | null {
  const caller = admitDirect(edge, call);
  return caller && new DirectStream(edge, caller, call);
}

class DirectStream implements DirectReceiver, StreamPort {
  readonly takesLent = true;
  readonly #call: DirectCall;
  readonly #caller: DirectCaller;
  readonly #stream: InferStream;

  constructor(edge: InferStreamParts, caller: DirectCaller, call: DirectCall) {
    this.#call = call;
    this.#caller = caller;
    const { peer, authenticate } = caller;
    const endsAtError = call.head.get("triton_grpc_error") === "true";
    this.#stream = new InferStream(edge, { peer, authenticate, deadlineMs: call.deadlineMs, endsAtError }, this);
    call.sendHead(); // at once, for clients that wait to see that the stream is open
  }

  // ---- what the call tells ----

  onMessage(call: DirectCall, message: Buffer): void {
    const request = inferenceService().ModelStreamInfer.requestDeserialize(message);
    this.#stream.take(request, () => call.releaseMessage(message));
  }

  onEnd(): void {
    this.#stream.halfClosed();
  }

  onCancel(_call: DirectCall, _reason: CancelReason): void {
    this.#stream.cancel();
    this.#caller.release();
  }

  // ---- what the stream wants ----

  get isClogged(): boolean {
    return this.#call.waitingBytes > MAX_WAITING_BYTES;
  }

  write(response: StreamInferResponseMessage, lent: { release(): void } | null): void {
    const parts = encodeStreamAnswerParts(response);
    if (lent === null) this.#call.sendMessage(parts, this.#onSent);
    else this.#call.sendLent(parts, lent, this.#onSent);
  }

  readonly #onSent = (): void => {
    this.#stream.drained();
  };

  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  end(nearEnd: LicenseTime | null): void {
    this.#call.end(OK, "", nearEnd === null ? null : licenseFields(nearEnd));
    this.#caller.release();
  }

  fail(error: SignetError): void {
    failDirect(this.#call, error);
    this.#caller.release();
  }
}
