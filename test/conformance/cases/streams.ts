import type { Area } from "../case.ts";
import { notFound, unauthenticated } from "../failures.ts";
import { floats, good } from "../tensors.ts";

const last = { triton_final_response: { bool_param: true } };
const withId = (id: string) => ({ ...good, id });
const answered = (id: string) => ({
  error_message: "",
  infer_response: { id, parameters: last, raw_output_contents: [floats(1, 2, 3)] },
});

export const streamsArea: Area = {
  title: "Streams",
  cases: [
    {
      name: "requests are answered in their order, each with one final response",
      steps: [
        {
          call: "ModelStreamInfer",
          request: ["a", "b", "c"].map(withId),
          answer: ["a", "b", "c"].map(answered),
        },
      ],
    },
    {
      name: "an error is an answer, and the stream goes on",
      steps: [
        {
          call: "ModelStreamInfer",
          request: [withId("a"), { ...withId("b"), model_name: "nothing" }, withId("c")],
          answer: [
            answered("a"),
            { infer_response: { id: "b", parameters: { signet_code: { string_param: "SERVICE_NOT_FOUND" } } } },
            answered("c"),
          ],
        },
      ],
      notOver: ["Python gRPC"], // which gives the words of an error alone
    },
    {
      name: "the first error ends a stream whose client asks for that",
      steps: [
        {
          call: "ModelStreamInfer",
          request: [{ ...withId("a"), model_name: "nothing" }, withId("b")],
          headers: { triton_grpc_error: "true" },
          answer: [],
          fails: notFound,
        },
      ],
    },
    {
      name: "a stream of a stranger ends before its first answer",
      steps: [{ call: "ModelStreamInfer", as: "nobody", request: [good], answer: [], fails: unauthenticated }],
    },
  ],
};
