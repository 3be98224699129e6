import type { AuditLog } from "../audit/index.ts";
import { type ErrorCode, SignetError } from "../errors.ts";
import type { LicenseTime } from "../license/index.ts";
import {
  type CallQuotas,
  type Identity,
  type InferCall,
  type Inference,
  type InferenceEnd,
  type InferenceResult,
  keepOutputs,
} from "../service/index.ts";
import { statusDetails } from "./errors.ts";
import { finalResponse } from "./infer-codec.ts";
import type { InferRequestMessage, StreamInferResponseMessage } from "./messages.ts";
import { decodeInferRequest, encodeInferResponse, type InferRequest } from "./tensors.ts";

/** Where a stream's messages come from and go to. */
export interface StreamPort {
  /** Whether it can send from memory that is lent; else it gets outputs that are its own. */
  readonly takesLent: boolean;
  /** Whether the client does not keep up; `drained` of the stream is called when it does again. */
  readonly isClogged: boolean;
  /** @param lent released when the response's outputs are read no more; null where they are the port's own */
  write(response: StreamInferResponseMessage, lent: { release(): void } | null): void;
  /** Stops requests from being delivered, and so the client from sending more. */
  pause(): void;
  resume(): void;
  /** After everything written, ends the stream well. @param nearEnd where the license stands, if its end is near */
  end(nearEnd: LicenseTime | null): void;
  /** After everything written, ends the stream with an error. */
  fail(error: SignetError): void;
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
  #bytes = 0;
  #isFirst = true;
  #isPaused = false;
  #isHalfClosed = false;
  #isFlushing = false;
  #isOver = false;
  #nearEnd: LicenseTime | null = null;

  constructor(parts: InferStreamParts, caller: StreamCaller, port: StreamPort) {
    this.#parts = parts;
    this.#caller = caller;
    this.#port = port;
  }

  /** The next request. @param done called when nobody reads it any more */
  take(message: InferRequestMessage, done: (() => void) | null = null): void {
    if (this.#isOver) return;
    const entry = new Entry(this, message.id, done);
    this.#entries.push(entry);
    const { peer, deadlineMs } = this.#caller;
    try {
      const identity = this.#caller.authenticate();
      entry.identity = identity;
      entry.leave = this.#admit(identity);
      const request = decodeInferRequest(message);
      entry.request = request;
      entry.bytes = bytesOf(request);
      this.#bytes += entry.bytes;
      entry.running = this.#parts.inference.begin(identity, { ...request, peer, deadlineMs }, entry);
    } catch (thrown) {
      entry.failed(SignetError.from(thrown));
    }
    this.#steer();
  }

  /** The client sends no more requests. */
  halfClosed(): void {
    this.#isHalfClosed = true;
    this.#flush();
  }

  /** The client takes responses again. */
  drained(): void {
    this.#steer();
  }

  /** The client is gone, or its deadline passed: what runs is asked to stop, what waits leaves the queue. */
  cancel(): void {
    this.#isOver = true;
    for (const entry of this.#entries) entry.running?.cancel();
  }

  /** Called by an entry: it has its result. @returns the result as it can be kept until it is sent */
  answered(entry: Entry, result: InferenceResult): void {
    if (result.nearEnd !== null) this.#nearEnd = result.nearEnd;
    // What has to wait, for others or for the client, gives the memory back that others may need.
    const isNext = entry === this.#entries[0] && !this.#port.isClogged && !this.#isOver;
    entry.isLent = isNext && this.#port.takesLent;
    entry.result = entry.isLent ? result : keepOutputs(result);
    this.#flush();
  }

  /** Called by an entry: it has none. */
  failed({ identity }: Entry, { code }: SignetError): void {
    if (code === "PERMISSION_DENIED") {
      this.#parts.audit.refused({ code, identity: identity?.name ?? null, peer: this.#caller.peer });
    }
    this.#flush();
  }

  /**
   * Every request counts against the caller's limits. The stream was counted when it began, and that is its first
   * request's; the place among running calls that it holds is that of the request that is alone.
   * @throws RATE_LIMITED, TOO_MANY_CALLS
   */
  #admit(identity: Identity): (() => void) | null {
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    if (isFirst) return null;
    const { quotas } = this.#parts;
    const admission = this.#entries.length === 1 ? quotas.admitInPlace(identity) : quotas.admit(identity);
    if (!admission.isAdmitted) throw admission.error;
    return admission.release;
  }

  /** Sends what is answered and has nothing unanswered before it. */
  #flush(): void {
    // Writing may bring about another request, and that an answer at once: the loop below comes to it.
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    while (!this.#isOver && this.#sendNext());
    this.#isFlushing = false;
    this.#steer();
  }

  /** @returns whether there may be more to do */
  #sendNext(): boolean {
    const head = this.#entries[0];
    if (head === undefined) {
      if (!this.#isHalfClosed) return false;
      this.#isOver = true;
      this.#port.end(this.#nearEnd);
      return false;
    }
    const { failure, result } = head;
    if (failure !== null && (this.#caller.endsAtError || finalCodes.has(failure.code))) {
      this.cancel();
      this.#port.fail(failure);
      return false;
    }
    if (failure === null && result === null) return false;
    this.#entries.shift();
    this.#bytes -= head.bytes;
    if (failure !== null) this.#port.write(errorAnswer(head.id, failure), null);
    else this.#port.write(answerFrom(head.request!, result!), head.isLent ? result : null);
    return true;
  }

  /** Takes requests only while there is room for them and the client reads the answers. */
  #steer(): void {
    if (this.#isOver || this.#isFlushing) return;
    const isFull = this.#entries.length >= MAX_OUTSTANDING || this.#bytes >= MAX_OUTSTANDING_BYTES;
    const shouldPause = isFull || this.#port.isClogged;
    if (shouldPause === this.#isPaused) return;
    this.#isPaused = shouldPause;
    if (shouldPause) this.#port.pause();
    else this.#port.resume();
  }
}

/** A request that was taken, and how it ended once it has. */
class Entry implements InferenceEnd {
  readonly id: string;
  bytes = 0;
  identity: Identity | null = null;
  request: InferRequest | null = null;
  running: InferCall | null = null;
  result: InferenceResult | null = null;
  isLent = false;
  failure: SignetError | null = null;
  /** Gives back the place among the caller's running calls. */
  leave: (() => void) | null = null;
  readonly #stream: InferStream;
  readonly #done: (() => void) | null;

  constructor(stream: InferStream, id: string, done: (() => void) | null) {
    this.#stream = stream;
    this.id = id;
    this.#done = done;
  }

  answered(result: InferenceResult): void {
    this.#end();
    this.#stream.answered(this, result);
  }

  failed(error: SignetError): void {
    this.failure = error;
    this.#end();
    this.#stream.failed(this, error);
  }

  #end(): void {
    this.leave?.();
    this.#done?.();
  }
}

/** One response for each request, so that each is the last of its request. */
function answerFrom(request: InferRequest, { version, outputs }: InferenceResult): StreamInferResponseMessage {
  const response = encodeInferResponse(request, version, outputs);
  return { error_message: "", infer_response: { ...response, parameters: finalResponse } };
}

function errorAnswer(id: string, failure: SignetError): StreamInferResponseMessage {
  const parameters = { ...finalResponse, signet_code: { string_param: failure.code } };
  return { error_message: statusDetails(failure), infer_response: { id, parameters } };
}

function bytesOf({ inputs }: InferRequest): number {
  let bytes = 0;
  for (const { place, data } of inputs) bytes += place?.byteSize ?? data.byteLength;
  return bytes;
}
