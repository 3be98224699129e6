import { z } from "zod";

/** The section `logs`: how much is kept of what the server and the plugins say. */
export const logKeeping = z.strictObject({
  maxMiB: z
    .int()
    .min(1)
    .max(4096)
    .default(10)
    .describe("How large one file becomes before the next is begun, in MiB. Each service has files of its own."),
  files: z
    .int()
    .min(1)
    .max(1000)
    .default(5)
    .describe("How many files are kept of each service, and of the server itself; the oldest goes first."),
});

export type LogKeeping = Readonly<z.infer<typeof logKeeping>>;
