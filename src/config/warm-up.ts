import { resolve } from "node:path";
import { z } from "zod";

/** What a service's process runs before it takes calls. */

const warmUpData = z
  .union([z.enum(["zero", "random"]), z.strictObject({ file: z.string().min(1) })])
  .default("zero")
  .describe(
    "What the input has: `zero`, `random` numbers from 0 to 1 or integers from 0 to 127, or `{ file: PATH }`, its raw bytes; relative to the configuration file.",
  );

const warmUpRequest = z.strictObject({
  name: z.string().min(1).max(128).describe("What the log calls it."),
  count: z.int().min(1).max(1000).default(1).describe("How often it is run."),
  batchSize: z
    .int()
    .min(1)
    .max(65_536)
    .default(1)
    .describe("The first dimension of inputs that leave it free and have no `shape` here."),
  inputs: z
    .record(
      z.string().min(1).max(256),
      z.strictObject({
        shape: z
          .array(
            z
              .int()
              .min(0)
              .max(2 ** 31 - 1),
          )
          .max(8)
          .optional(),
        data: warmUpData,
      }),
    )
    .default({})
    .describe(
      "By the name of an input, its `shape`, which may be left out where the service leaves no other dimension than the first free, and its `data`: `zero`, `random`, or `{ file: PATH }` with its raw bytes. Inputs that are left out are `zero`.",
    ),
});

export const warmUpRequests = z.array(warmUpRequest).max(32);

export type ConfiguredWarmUp = Readonly<z.infer<typeof warmUpRequest>>;

/** The same with the places of files as seen from `base`. */
export function resolveWarmUpFiles(requests: readonly ConfiguredWarmUp[], base: string): ConfiguredWarmUp[] {
  return requests.map((request) => {
    const inputs = Object.entries(request.inputs).map(([name, input]) => {
      const { data } = input;
      return [name, typeof data === "string" ? input : { ...input, data: { file: resolve(base, data.file) } }] as const;
    });
    return { ...request, inputs: Object.fromEntries(inputs) };
  });
}
