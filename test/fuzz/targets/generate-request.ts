import { isDeepStrictEqual } from "node:util";
import { decodeGenerateRequest, encodeGenerateResponse } from "../../../src/http/generate.ts";
import type { TensorSpec } from "../../../src/tensor/index.ts";
import { validateInputs } from "../../../src/tensor/validate.ts";
import { mutateJson } from "../mutate-json.ts";
import { hold, type Target } from "../target.ts";

const specs: readonly TensorSpec[] = [
  { name: "x", datatype: "INT32", shape: [-1, 2] },
  { name: "y", datatype: "BYTES", shape: [-1] },
];

/** A generate request, from its bytes to validated tensors. As outputs they are plain values, which come in again the same. */
export function generateRequest(): Target {
  return {
    codes: ["REQUEST_MALFORMED", "REQUEST_TOO_LARGE", "NOT_IMPLEMENTED"],
    starts: starts(),
    mutate: mutateJson,
    maxBytes: 1024,
    run(input) {
      const { id, inputs: given } = decodeGenerateRequest(input, specs);
      const held = given.reduce((sum, { data, shape }) => sum + data.byteLength + shape.length * 8, 0);
      hold(held <= input.length * 8, "what is decoded is in proportion to the request");
      const inputs = validateInputs(given, specs);
      const outputs = inputs.map((tensor) => ({ ...tensor, place: null }));
      const answer = encodeGenerateResponse({ id, service: "s", version: "1", outputs });
      hold(!/[\r\n]/.test(answer), "an answer is one line of an event");
      const again = validateInputs(decodeGenerateRequest(Buffer.from(answer), specs).inputs, specs);
      const bytes = (tensors: typeof inputs) => tensors.map(({ shape, data }) => ({ shape, data: Buffer.from(data) }));
      hold(isDeepStrictEqual(bytes(again), bytes(inputs)), "outputs can be read as they were sent");
      return `accepted ${inputs.map(({ shape }) => shape).join(" ")}`;
    },
  };
}

function starts(): Buffer[] {
  const json = (value: object) => Buffer.from(JSON.stringify(value));
  return [
    json({ id: "7", x: [1, 2], y: "é\n" }),
    json({
      x: [
        [1, 2],
        [3, 4],
      ],
      parameters: { y: ["a", "b"], priority: 1, own: true },
    }),
    json({ x: [], y: [], timeout: 1000, parameters: { sequence_id: 0 } }),
    Buffer.from('{"x":[1,-2147483648],"y":"a","__proto__":1,"own":9007199254740993}'),
  ];
}
