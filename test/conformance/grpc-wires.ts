import type { ServiceError } from "@grpc/grpc-js";
import { BareClient, type BareInferRequest, failureOf } from "../helpers/bare-client.ts";
import { BareStream } from "../helpers/bare-stream.ts";
import { WebClient } from "../helpers/web-client.ts";
import {
  type InferRequest,
  type Message,
  type Outcome,
  type Step,
  stepByStep,
  type Tokens,
  type Wire,
} from "./case.ts";

/** gRPC, by grpc-js. */
export function grpcWire(address: string, tokens: Tokens): Wire {
  const client = new BareClient(address, null);
  const send = async (step: Step): Promise<Outcome> => {
    const { call, as = "client", request = {}, headers = {}, timeoutMs } = step;
    const token = tokens[as];
    if (call === "ModelStreamInfer") {
      const stream = new BareStream(client, token, { headers });
      for (const message of request as InferRequest[]) stream.send(bytesIn(message) as unknown as BareInferRequest);
      const { status, code = null } = await stream.end();
      return { answer: stream.responses, ...(status === "OK" ? {} : { fails: { status, code } }) };
    }
    const sent = client.call(call, bytesIn(request as InferRequest), { token, ...(timeoutMs ? { timeoutMs } : {}) });
    return sent.then(
      (answer) => ({ answer }),
      async ({ details }: ServiceError) => {
        const { status, code = null } = await failureOf(sent);
        return { fails: { status, code, words: details } };
      },
    );
  };
  return { perform: stepByStep(send), close: () => client.close() };
}

/** gRPC-Web, by hand. */
export function webWire(address: string, tokens: Tokens): Wire {
  const client = new WebClient(address, null);
  const send = async (step: Step): Promise<Outcome> => {
    const { call, as = "client", request = {}, headers = {}, timeoutMs } = step;
    const messages = [request].flat().map((message) => bytesIn(message as InferRequest));
    const timeout: Record<string, string> = timeoutMs === undefined ? {} : { "grpc-timeout": `${timeoutMs}m` };
    const sent = await client.call(call, messages, { token: tokens[as], headers: { ...headers, ...timeout } });
    const { status, code = null, responses, details } = sent;
    const answer = call === "ModelStreamInfer" ? responses : responses[0];
    return { answer, ...(status === "OK" ? {} : { fails: { status, code, words: details } }) };
  };
  return { perform: stepByStep(send) };
}

/** The table has texts for BYTES elements; in a message they are bytes. */
function bytesIn(request: Message | InferRequest): Message {
  const { inputs } = request as InferRequest;
  const converted = inputs?.map(({ contents, ...rest }) => {
    const texts = contents?.bytes_contents as string[] | undefined;
    const bytes = texts && { bytes_contents: texts.map((text) => Buffer.from(text)) };
    return { ...rest, ...(contents && { contents: { ...contents, ...bytes } }) };
  });
  return { ...request, ...(converted && { inputs: converted }) };
}
