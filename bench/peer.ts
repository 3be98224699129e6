import { Server, ServerCredentials } from "@grpc/grpc-js";
import { type InferRequestMessage, inferenceService } from "../src/grpc/index.ts";

/**
 * The peer: grpc-js with the same protocol file and nothing else. It echoes the first input in the gateway's
 * own process: no license, no ledger, no access check, no validation, no native code, no second process.
 */
const server = new Server({ "grpc.max_receive_message_length": -1, "grpc.enable_channelz": 0 });
server.addService(inferenceService(), {
  ModelInfer: (call: { request: InferRequestMessage }, callback: (error: null, response: object) => void) => {
    const { model_name, inputs, raw_input_contents } = call.request;
    const { datatype, shape } = inputs[0]!;
    const outputs = [{ name: "output", datatype, shape }];
    callback(null, { model_name, outputs, raw_output_contents: raw_input_contents });
  },
});
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (_error, port) => {
  process.stderr.write(`${JSON.stringify({ msg: "serving", address: `127.0.0.1:${port}` })}\n`);
});
process.on("SIGTERM", () => process.exit(0));
