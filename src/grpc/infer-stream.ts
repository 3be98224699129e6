import type { Metadata, StatusObject } from "@grpc/grpc-js";
import type { AuditLog } from "../audit/index.ts";
import { type ErrorCode, SignetError } from "../errors.ts";
import type { CallQuotas, Identity, Inference } from "../service/index.ts";
import { clientGone, licenseTrailers } from "./call.ts";
import { grpcStatusFromError } from "./errors.ts";
import { infer } from "./infer.ts";
import type { InferRequestMessage, StreamInferResponseMessage } from "./messages.ts";
import { decodeInferRequest, type InferRequest } from "./tensors.ts";

/** Where a stream's messages come from and go to. */
export interface StreamPort {
  /** False where the client does not keep up; `drained` of the stream is called when it does again. */
  write(response: StreamInferResponseMessage): boolean;
  /** Stops requests from being delivered, and so the client from sending more. */
  pause(): void;
  resume(): void;
  /** After everything written, ends the stream well. */
  end(trailers: Metadata | undefined): void;
  /** After everything written, ends the stream with a status. */
  fail(status: StatusObject): void;
}

export interface StreamCaller {
  readonly peer: string;
  /** The stream's own deadline, on the clock of performance.now(); requests have no other. */
  readonly deadlineMs: number;
  /** Whether the first error ends the stream with a status, as the client's `triton_grpc_error` header asks. */
  readonly endsAtError: boolean;
  /** The caller as of now; asked again for each request. @throws UNAUTHENTICATED */
  authenticate(): Identity;
}

export interface InferStreamParts {
  readonly inference: Inference;
  readonly quotas: CallQuotas;
  readonly audit: AuditLog;
}

/** A request that was taken, and its answer once it has one. */
interface Entry {
  readonly id: string;
  bytes: number;
  answer?: StreamInferResponseMessage;
  failure?: SignetError;
}

/** Requests that are taken and not yet answered. Fewer than a service's queue holds, so that one stream cannot fill it. */
export const MAX_OUTSTANDING = 32;
/** Their tensors together; a request that is larger by itself is alone. */
const MAX_OUTSTANDING_BYTES = 64 * 1024 * 1024;
/** After these there is nothing left to stream. */
const finalCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["UNAUTHENTICATED", "SHUTTING_DOWN"]);

/**
 * One ModelStreamInfer: requests run beside each other and are answered in their order. Every request is a call of its
 * own to access, quotas and the license. No gRPC library appears here, only its statuses.
 */
export class InferStream {
  readonly #parts: InferStreamParts;
  readonly #caller: StreamCaller;
  readonly #port: StreamPort;
  readonly #entries: Entry[] = [];
  readonly #controller = new AbortController();
  #bytes = 0;
  #isFirst = true;
  #isClogged = false;
  #isPaused = false;
  #isHalfClosed = false;
  #isOver = false;
  #trailers: Metadata | undefined;

  constructor(parts: InferStreamParts, caller: StreamCaller, port: StreamPort) {
    this.#parts = parts;
    this.#caller = caller;
    this.#port = port;
  }

  /** The next request. */
  take(message: InferRequestMessage): void {
    if (this.#isOver) return;
    const entry: Entry = { id: message.id, bytes: 0 };
    this.#entries.push(entry);
    this.#answer(message, entry).then(
      (answer) => {
        entry.answer = answer;
        this.#flush();
      },
      (thrown) => {
        entry.failure = SignetError.from(thrown);
        this.#flush();
      },
    );
    this.#steer();
  }

  /** The client sends no more requests. */
  halfClosed(): void {
    this.#isHalfClosed = true;
    this.#flush();
  }

  /** The client takes responses again. */
  drained(): void {
    this.#isClogged = false;
    this.#steer();
  }

  /** The client is gone, or its deadline passed: what runs is asked to stop, what waits leaves the queue. */
  cancel(): void {
    this.#isOver = true;
    this.#controller.abort(clientGone);
  }

  async #answer(message: InferRequestMessage, entry: Entry): Promise<StreamInferResponseMessage> {
    const identity = this.#caller.authenticate();
    const release = this.#admit(identity);
    try {
      const request = decodeInferRequest(message);
      entry.bytes = bytesOf(request);
      this.#bytes += entry.bytes;
      const { peer, deadlineMs } = this.#caller;
      const caller = { identity, peer, deadlineMs, signal: this.#controller.signal };
      const { response, nearEnd } = await infer(this.#parts.inference, request, caller);
      if (nearEnd !== null) this.#trailers = licenseTrailers(nearEnd);
      return { error_message: "", infer_response: { ...response, parameters: finalResponse } };
    } catch (thrown) {
      const { code } = SignetError.from(thrown);
      if (code === "PERMISSION_DENIED") {
        this.#parts.audit.refused({ code, identity: identity.name, peer: this.#caller.peer });
      }
      throw thrown;
    } finally {
      release();
    }
  }

  /**
   * Every request counts against the caller's limits. The stream was counted when it began, and that is its first
   * request's; the place among running calls that it holds is that of the request that is alone.
   * @throws RATE_LIMITED, TOO_MANY_CALLS
   */
  #admit(identity: Identity): () => void {
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    if (isFirst) return () => undefined;
    const { quotas } = this.#parts;
    const admission = this.#entries.length === 1 ? quotas.admitInPlace(identity) : quotas.admit(identity);
    if (!admission.isAdmitted) throw admission.error;
    return admission.release;
  }

  /** Sends what is answered and has nothing unanswered before it. */
  #flush(): void {
    while (!this.#isOver) {
      const head = this.#entries[0];
      if (head === undefined) {
        if (!this.#isHalfClosed) break;
        this.#isOver = true;
        this.#port.end(this.#trailers);
        return;
      }
      if (head.failure !== undefined && (this.#caller.endsAtError || finalCodes.has(head.failure.code))) {
        this.cancel();
        this.#port.fail(grpcStatusFromError(head.failure));
        return;
      }
      const answer = head.failure === undefined ? head.answer : errorAnswer(head.id, head.failure);
      if (answer === undefined) break;
      this.#entries.shift();
      this.#bytes -= head.bytes;
      if (!this.#port.write(answer)) this.#isClogged = true;
    }
    this.#steer();
  }

  /** Takes requests only while there is room for them and the client reads the answers. */
  #steer(): void {
    const isFull = this.#entries.length >= MAX_OUTSTANDING || this.#bytes >= MAX_OUTSTANDING_BYTES;
    const shouldPause = isFull || this.#isClogged;
    if (shouldPause === this.#isPaused || this.#isOver) return;
    this.#isPaused = shouldPause;
    if (shouldPause) this.#port.pause();
    else this.#port.resume();
  }
}

/** One response for each request, so that each is the last of its request. */
const finalResponse = { triton_final_response: { bool_param: true } };

function errorAnswer(id: string, failure: SignetError): StreamInferResponseMessage {
  const { details } = grpcStatusFromError(failure);
  const parameters = { ...finalResponse, signet_code: { string_param: failure.code } };
  return { error_message: details, infer_response: { id, parameters } };
}

function bytesOf({ inputs }: InferRequest): number {
  return inputs.reduce((sum, input) => sum + (input.place?.byteSize ?? input.data.byteLength), 0);
}
