import { fileURLToPath } from "node:url";
import { loadSync, type MessageTypeDefinition } from "@grpc/proto-loader";
import { describe, expect, test } from "vitest";
import { type Random, useRandom } from "../../test/helpers/random.ts";
import { decodePlainRequest, encodePlainResponse, encodePlainStreamAnswer, finalResponse } from "./infer-codec.ts";
import type { InferRequestMessage, InferResponseMessage } from "./messages.ts";

/** protobufjs, which knows nothing of the codec under test. */
const definition = loadSync(fileURLToPath(new URL("../../proto/inference.proto", import.meta.url)), {
  keepCase: true,
  longs: Number,
  defaults: true,
  arrays: true,
  objects: true,
  oneofs: true,
});

function codecOf<Message>(name: string) {
  const { serialize, deserialize } = definition[`inference.${name}`] as MessageTypeDefinition<object, object>;
  return {
    serialize: (message: object) => serialize(message),
    deserialize: (bytes: Buffer) => deserialize(bytes) as Message,
  };
}

const requests = codecOf<InferRequestMessage>("ModelInferRequest");
const responses = codecOf<InferResponseMessage>("ModelInferResponse");
const answers = codecOf<object>("ModelStreamInferResponse");

const text = (random: Random, most: number) =>
  Array.from({ length: random.below(most + 1) }, () => String.fromCharCode(32 + random.below(95))).join("");
const list = <Item>(random: Random, most: number, make: () => Item) =>
  Array.from({ length: random.below(most + 1) }, make);
const someBytes = (random: Random) => Buffer.from(list(random, 300, () => random.below(256)));
const shapeOf = (random: Random) => list(random, 8, () => random.below(1 + random.below(2 ** 31)));

function randomRequest(random: Random): object {
  return {
    model_name: text(random, 200),
    model_version: text(random, 3),
    id: text(random, 40),
    inputs: list(random, 4, () => ({ name: text(random, 20), datatype: text(random, 6), shape: shapeOf(random) })),
    outputs: list(random, 4, () => ({ name: text(random, 20) })),
    raw_input_contents: list(random, 4, () => someBytes(random)),
  };
}

function randomResponse(random: Random): InferResponseMessage {
  const outputs = list(random, 4, () => ({ name: text(random, 150), datatype: "FP32", shape: shapeOf(random) }));
  return {
    model_name: random.below(10) === 0 ? "größer als 127: ✓" : text(random, 200),
    model_version: text(random, 3),
    id: text(random, 40),
    parameters: {},
    outputs,
    raw_output_contents: outputs.map(() => someBytes(random)),
  };
}

/** As far as plain requests have it; what is left out by one is empty by the other. */
function plain({ model_name, model_version, id, inputs, outputs, raw_input_contents }: InferRequestMessage) {
  return {
    ...{ model_name, model_version, id },
    inputs: inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape: shape.map(Number) })),
    outputs: outputs.map(({ name }) => name),
    raw: raw_input_contents.map((bytes) => Buffer.from(bytes).toString("hex")),
  };
}

describe("a plain request", () => {
  test("is read as protobufjs reads it", () => {
    const random = useRandom();
    for (let round = 0; round < 2000; round++) {
      const bytes = requests.serialize(randomRequest(random));
      const read = decodePlainRequest(bytes);
      expect(read).not.toBeNull();
      expect(plain(read!)).toEqual(plain(requests.deserialize(bytes)));
    }
  });

  test("whose bytes were changed is left to protobufjs, or read as it reads it", () => {
    const random = useRandom();
    let taken = 0;
    for (let round = 0; round < 20_000; round++) {
      const bytes = requests.serialize(randomRequest(random));
      for (let change = 1 + random.below(4); change > 0 && bytes.length > 0; change--) {
        bytes[random.below(Math.min(bytes.length, 80))] = random.below(256);
      }
      const cut = bytes.subarray(0, random.below(4) === 0 ? random.below(bytes.length + 1) : bytes.length);
      const read = decodePlainRequest(cut);
      if (read === null) continue;
      taken++;
      expect(plain(read)).toEqual(plain(requests.deserialize(cut)));
    }
    expect(taken).toBeGreaterThan(100);
  });

  test.each([
    ["parameters", { parameters: { priority: { uint64_param: 1 } } }],
    ["typed contents", { inputs: [{ name: "x", contents: { fp32_contents: [1] } }] }],
    ["parameters of an input", { inputs: [{ name: "x", parameters: { region: { string_param: "r" } } }] }],
    ["parameters of an output", { outputs: [{ name: "y", parameters: { classification: { int64_param: 1 } } }] }],
    ["a dimension below zero", { inputs: [{ name: "x", shape: [-1] }] }],
    ["a name that is not ASCII", { model_name: "größer" }],
    ["very many inputs", { inputs: Array.from({ length: 300 }, () => ({ name: "x" })) }],
  ])("with %s is not plain", (_what, message) => {
    expect(decodePlainRequest(requests.serialize(message))).toBeNull();
  });

  test("has views of the message as its data, not copies", () => {
    const bytes = requests.serialize({ model_name: "m", raw_input_contents: [Buffer.from([1, 2, 3])] });
    const read = decodePlainRequest(bytes)!;
    bytes.fill(9, bytes.length - 3);
    expect([...read.raw_input_contents[0]!]).toEqual([9, 9, 9]);
  });
});

describe("a plain response", () => {
  test("is written as protobufjs writes it", () => {
    const random = useRandom();
    for (let round = 0; round < 2000; round++) {
      const response = randomResponse(random);
      const expected = responses.deserialize(responses.serialize(response));
      expect(responses.deserialize(Buffer.concat(encodePlainResponse(response)!))).toEqual(expected);
    }
  });

  test("inside an answer of a stream is written as protobufjs writes it, as the last of its request", () => {
    const random = useRandom();
    for (let round = 0; round < 2000; round++) {
      const response = { ...randomResponse(random), parameters: finalResponse };
      const answer = { error_message: "", infer_response: response };
      const expected = answers.deserialize(answers.serialize(answer));
      expect(answers.deserialize(Buffer.concat(encodePlainStreamAnswer(answer)!))).toEqual(expected);
    }
  });

  test.each([
    ["an error", { error_message: "no", infer_response: { parameters: finalResponse } }],
    ["other parameters", { error_message: "", infer_response: { parameters: { x: { bool_param: true } } } }],
  ])("of a stream with %s is not plain", (_, answer) => {
    expect(encodePlainStreamAnswer(answer)).toBeNull();
  });

  test("does not copy its data", () => {
    const data = Buffer.from([1, 2, 3]);
    const outputs = [{ name: "y", datatype: "UINT8", shape: [3] }];
    const response = {
      model_name: "m",
      model_version: "1",
      id: "",
      parameters: {},
      outputs,
      raw_output_contents: [data],
    };
    expect(encodePlainResponse(response)!.at(-1)!.buffer).toBe(data.buffer);
  });
});
