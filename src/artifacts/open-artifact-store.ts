import type { JobSettings } from "../config/index.ts";
import { SignetError } from "../errors.ts";
import { Secret } from "../telemetry/index.ts";
import type { ArtifactStore } from "./artifact-store.ts";
import { DirectoryStore } from "./directory-store.ts";
import type { S3Credentials } from "./s3-bucket.ts";

/** The variables of an environment. */
type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The store that the configuration names.
 * @param settings null for a directory
 * @param directory which one, made if need be; one process at a time may have it open
 * @param environment where the credentials of S3 are
 * @throws STORE_UNAVAILABLE; CONFIG_INVALID where there are no credentials
 */
export async function openArtifactStore(
  settings: JobSettings["artifacts"],
  directory: string,
  environment: Environment = process.env,
): Promise<ArtifactStore> {
  if (settings === null) return await DirectoryStore.open(directory);
  const { s3 } = settings;
  const credentials = readCredentials(environment);
  // 30 MiB and 50 ms that only those pay who have a bucket.
  const [{ S3Bucket }, { S3Store }] = await Promise.all([import("./s3-bucket.ts"), import("./s3-store.ts")]);
  const where = `jobs.artifacts.s3: ${s3.endpoint}, bucket ${s3.bucket}`;
  return await S3Store.open(new S3Bucket(s3, credentials), s3.prefix, where);
}

function readCredentials(environment: Environment): S3Credentials {
  const { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret, AWS_SESSION_TOKEN: token } = environment;
  if (!id || !secret) {
    const missing = id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID";
    throw new SignetError("CONFIG_INVALID", `jobs.artifacts.s3: expected ${missing} in the environment, found nothing`);
  }
  return { accessKeyId: id, secretAccessKey: new Secret(secret), sessionToken: token ? new Secret(token) : null };
}
