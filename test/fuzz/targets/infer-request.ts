import { isDeepStrictEqual } from "node:util";
import { inferenceService } from "../../../src/grpc/messages.ts";
import { decodeInferRequest } from "../../../src/grpc/tensors.ts";
import type { TensorSpec } from "../../../src/tensor/index.ts";
import { validateInputs, validateOutputs } from "../../../src/tensor/validate.ts";
import { mutateFields } from "../mutate-tree.ts";
import { field, formatMessage, integer, protobuf, varint } from "../protobuf.ts";
import { hold, type Target } from "../target.ts";

const specs: readonly TensorSpec[] = [
  { name: "x", datatype: "FP32", shape: [-1, 2] },
  { name: "y", datatype: "BYTES", shape: [-1] },
];
const outputs: readonly TensorSpec[] = [{ name: "out", datatype: "INT64", shape: [1] }];

/** A ModelInferRequest from its bytes to validated tensors. Encoded again, it must be decoded to the same. */
export function inferRequest(): Target {
  const { ModelInfer } = inferenceService();
  return {
    codes: ["REQUEST_MALFORMED", "REQUEST_TOO_LARGE", "NOT_IMPLEMENTED"],
    starts: starts(),
    mutate: mutateFields(protobuf),
    maxBytes: 2048,
    run(input) {
      const message = ModelInfer.requestDeserialize(input);
      const request = decodeInferRequest(message);
      const again = decodeInferRequest(ModelInfer.requestDeserialize(ModelInfer.requestSerialize(message)));
      hold(isDeepStrictEqual(plain(again), plain(request)), "a request that is encoded again is decoded to the same");
      const held = request.inputs.reduce((sum, { data, shape }) => sum + data.byteLength + shape.length * 8, 0);
      // A 64-bit integer may take one byte on the wire.
      hold(held <= input.length * 8, "what is decoded is in proportion to the message");
      validateOutputs(
        request.outputs.map(({ name }) => name),
        outputs,
      );
      const inputs = validateInputs(request.inputs, specs);
      return `accepted ${inputs.length}`;
    },
  };
}

/** Views of different buffers, with the same bytes. */
function plain(request: ReturnType<typeof decodeInferRequest>) {
  return { ...request, inputs: request.inputs.map((input) => ({ ...input, data: Buffer.from(input.data) })) };
}

function starts(): Buffer[] {
  const bytesTensor = Buffer.from([2, 0, 0, 0, 0x61, 0x62]);
  const raw = [
    field(1, "demo"),
    field(2, "1"),
    field(3, "an id"),
    field(4, [field(1, "timeout"), field(2, [integer(2, 1000)])]),
    field(4, [field(1, "priority"), field(2, [integer(5, 3)])]),
    field(4, [field(1, "own"), field(2, [field(3, "text")])]),
    field(5, [field(1, "x"), field(2, "FP32"), field(3, Uint8Array.of(1, 2))]),
    field(5, [field(1, "y"), field(2, "BYTES"), integer(3, 1)]),
    field(6, [field(1, "out")]),
    field(7, Buffer.alloc(8, 1)),
    field(7, bytesTensor),
  ];
  const floats = Buffer.from(new Float32Array([1, -2.5]).buffer);
  const typed = [
    field(1, "demo"),
    field(5, [field(1, "x"), field(2, "FP32"), field(3, Uint8Array.of(1, 2)), field(5, [field(6, floats)])]),
    field(5, [field(1, "y"), field(2, "BYTES"), field(3, Uint8Array.of(1)), field(5, [field(8, "ab")])]),
  ];
  const everyContents = [1, 2, 3, 4, 5].map((contents) =>
    formatMessage([
      field(1, "demo"),
      field(5, [
        field(1, "x"),
        field(2, ["BOOL", "INT8", "INT64", "UINT16", "UINT64"][contents - 1]!),
        field(3, Uint8Array.of(2)),
        field(5, [field(contents, Buffer.concat([varint(1), varint(100)]))]),
      ]),
    ]),
  );
  const sequence = [
    field(4, [field(1, "sequence_id"), field(2, [integer(2, 7)])]),
    field(5, [field(1, "x"), field(4, [field(1, "shared_memory_region"), field(2, [field(3, "r")])])]),
    field(6, [field(1, "out"), field(2, [field(1, "classification"), field(2, [integer(2, 5)])])]),
  ];
  return [formatMessage(raw), formatMessage(typed), ...everyContents, formatMessage(sequence)];
}
