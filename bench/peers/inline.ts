import { ServerCredentials } from "@grpc/grpc-js";
import { parseConfig, resolveGrpcLimits } from "../../src/config/index.ts";
import { finalResponse } from "../../src/grpc/infer-codec.ts";
import { encodeInferResponseParts, encodeStreamAnswerParts, inferenceService } from "../../src/grpc/messages.ts";
import { decodeInferRequest, encodeInferResponse } from "../../src/grpc/tensors.ts";
import { TransportServer } from "../../src/grpc/transport-server.ts";
import type { Connection, DirectCall, DirectReceiver } from "../../src/http2/index.ts";
import { MIN_SLAB_BYTES, takeSlab } from "../../src/http2/slabs.ts";
import { createLog } from "../../src/telemetry/index.ts";

/**
 * Signet's transport alone: HTTP/2, codec and tensors are those of `signet serve`, and the handler answers with a copy
 * of its input, as the C++ peer does. Without license, ledger, access and a process for the plugin, so it shows which
 * part of a call is transport.
 */

const OK = 0;
const { ModelInfer, ModelStreamInfer } = inferenceService();

/** Of one request: the answer of the model "identity", and how to send it. */
class Answer {
  readonly #slabs: Buffer[] = [];
  readonly response;

  constructor(message: Buffer) {
    const request = decodeInferRequest(ModelInfer.requestDeserialize(message));
    const outputs = request.inputs.map(({ datatype, shape, data }) => {
      return { name: "output", datatype, shape, data: this.#copy(data), place: null };
    });
    this.response = encodeInferResponse(request, "1", outputs);
  }

  send(call: DirectCall, parts: readonly Buffer[]): void {
    const { output } = (call.session as Connection).writer;
    call.sendMessage(parts, () => {
      for (const slab of this.#slabs) output.recycle(slab);
    });
  }

  /** Into memory that is used again, as the transport does it with requests and the C library of the C++ peer too. */
  #copy(data: Uint8Array): Uint8Array {
    if (data.length < MIN_SLAB_BYTES) return Buffer.from(data);
    const slab = takeSlab(data.length);
    this.#slabs.push(slab);
    slab.set(data);
    return slab.subarray(0, data.length);
  }
}

class Unary implements DirectReceiver {
  #message: Buffer | undefined;

  onMessage(_call: DirectCall, message: Buffer): void {
    this.#message = message;
  }

  onEnd(call: DirectCall): void {
    const answer = new Answer(this.#message!);
    call.release();
    answer.send(call, encodeInferResponseParts(answer.response));
    call.end(OK);
  }

  onCancel(): void {}
}

/** One for all streams. */
const streamed: DirectReceiver = {
  onMessage(call, message) {
    const answer = new Answer(message);
    call.releaseMessage(message);
    const response = { ...answer.response, parameters: finalResponse };
    answer.send(call, encodeStreamAnswerParts({ error_message: "", infer_response: response }));
  },
  onEnd: (call) => call.end(OK),
  onCancel: () => undefined,
};

const server = new TransportServer(
  { "grpc.max_receive_message_length": 64 * 2 ** 20 },
  {
    limits: resolveGrpcLimits(parseConfig({}, "the benchmark")),
    direct: new Map([
      [ModelInfer.path, () => new Unary()],
      [ModelStreamInfer.path, () => streamed],
    ]),
  },
  createLog({ level: "warn", format: "json" }),
);
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.stderr.write(`${JSON.stringify({ msg: "serving", address: `127.0.0.1:${port}` })}\n`);
});
