import { z } from "zod";
import { Secret } from "../telemetry/index.ts";
import { durationMs } from "./scheduling.ts";

/** The settings of jobs that outlive their call: where they and their files are kept, and for how long. */

const DATABASE_EXPECTATION = "expected postgresql://USER@HOST:PORT/DATABASE";

const databaseUrl = z
  .string()
  // A password may be anywhere in it, so the message must not repeat it.
  .refine(isDatabaseUrl, { message: DATABASE_EXPECTATION, params: { isSecret: true } })
  .nullable()
  .default(null)
  .transform((text) => (text === null ? null : new Secret(text)));

const ENDPOINT_EXPECTATION = "expected https://HOST or http://HOST with nothing but a port behind it";

const s3Settings = z.strictObject({
  endpoint: z
    .string()
    .refine(isEndpoint, ENDPOINT_EXPECTATION)
    .describe(
      "Where the store answers, such as `https://s3.example:9000`. Over `http://` customers' data goes in plaintext.",
    ),
  bucket: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, "expected a name of 3 to 63 small letters, digits, dots and dashes")
    .describe("The bucket, which must be there."),
  region: z
    .string()
    .regex(/^[A-Za-z0-9-]{1,64}$/, "expected letters, digits and dashes")
    .default("us-east-1")
    .describe("The region that requests are signed for; most stores other than Amazon's take this one."),
  prefix: z
    .string()
    .regex(
      /^((?!\.+\/)[A-Za-z0-9_.-]+\/)*$/,
      "expected letters, digits, dots, dashes and underscores with a / at the end",
    )
    .max(256)
    .default("")
    .describe("What the keys begin with, such as `signet/`, where the bucket has other things too."),
});

export const jobSettings = z.strictObject({
  database: databaseUrl.describe(
    "Where jobs are kept: `postgresql://USER@HOST:PORT/DATABASE`, or null for a SQLite file in the data directory. The password is better in the environment, as PGPASSWORD.",
  ),
  artifacts: z
    .strictObject({ s3: s3Settings.describe("A store that speaks S3.") })
    .nullable()
    .default(null)
    .describe(
      "Where the files of jobs are kept; null is a directory in the data directory. The credentials of `s3` are read from the environment, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, where they are temporary, AWS_SESSION_TOKEN; a CA of its own from the file that NODE_EXTRA_CA_CERTS names.",
    ),
  maxAttempts: z
    .int()
    .min(1)
    .max(100)
    .default(3)
    .describe("How often a job is begun at most, where what ran it was lost."),
  leaseMs: durationMs
    .min(1000)
    .default(15_000)
    .describe("How long a server that does not answer keeps its jobs before others may take them, in milliseconds."),
  maxQueued: z
    .int()
    .min(1)
    .max(10_000_000)
    .default(100_000)
    .describe("Jobs of one caller that may wait; one more is refused."),
  keepDays: z.int().min(1).max(36_500).default(7).describe("How long jobs that ended and their results are kept."),
  keepMiB: z
    .int()
    .min(1)
    .max(1024 ** 3)
    .default(10_240)
    .describe("What jobs that ended may take with their inputs and results, in MiB; beyond it the oldest go first."),
  minFreeMiB: z
    .int()
    .min(0)
    .max(1024 ** 3)
    .default(256)
    .describe(
      "What jobs leave free of the disk that the data directory is on, in MiB: beyond that no more are accepted, so that the ledger can still be written.",
    ),
  maxArtifactMiB: z
    .int()
    .min(1)
    .max(64 * 1024) // what S3 takes in 10,000 parts of 8 MiB, and less
    .default(1024)
    .describe("The largest file that is accepted for a job or kept as a result, in MiB."),
});

export type JobSettings = Readonly<z.infer<typeof jobSettings>>;
export type S3Settings = Readonly<z.infer<typeof s3Settings>>;

function isDatabaseUrl(text: string): boolean {
  return /^postgres(ql)?:\/\//.test(text) && URL.canParse(text);
}

function isEndpoint(text: string): boolean {
  return /^https?:\/\/[^/@?#]+\/?$/.test(text) && URL.canParse(text);
}
