import { SignetError } from "../errors.ts";

/** What S3 and the way to it fail with most, in words. */
const words: Readonly<Record<string, string>> = {
  AccessDenied: "refuses these credentials",
  ExpiredToken: "refuses these credentials, which have expired",
  InvalidAccessKeyId: "refuses these credentials",
  SignatureDoesNotMatch: "refuses these credentials",
  NotS3: "does not answer like S3",
  "403": "refuses these credentials",
  NoSuchBucket: "has no such bucket",
  PermanentRedirect: "has the bucket in another region",
  AuthorizationHeaderMalformed: "has the bucket in another region",
  RequestTimeTooSkewed: "has another time than this host",
  ECONNREFUSED: "takes no connections",
  ENOTFOUND: "has a name that is not known",
  EAI_AGAIN: "has a name that is not known",
  TimeoutError: "does not answer",
};

/** What S3 says of an error, as far as it is said; everything that the client throws has these, if anything. */
interface S3Failure {
  readonly name?: string;
  readonly code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

/**
 * The error of a request that failed. Clients read it, so it repeats nothing that S3 says in sentences: these name
 * accounts, buckets and roles. The log has them.
 * @param where the store
 */
export function s3Error(thrown: unknown, where = "the S3 store of artifacts"): SignetError {
  if (thrown instanceof SignetError) return thrown;
  const { name, code, $metadata } = (thrown ?? {}) as S3Failure;
  const status = $metadata?.httpStatusCode;
  const known = [code, name, String(status)].find((each) => each !== undefined && Object.hasOwn(words, each));
  const said = known === undefined ? `failed with ${code ?? name ?? "an error"}` : words[known];
  return new SignetError("STORE_UNAVAILABLE", `${where}: ${said}`, { cause: withoutRequest(thrown) });
}

/** What the client throws hangs on to the request, with the headers that authorize it and the body. */
function withoutRequest(thrown: unknown): Error {
  const { message, name, code } = thrown as Error & S3Failure;
  return Object.assign(new Error(message), { name }, code === undefined ? {} : { code });
}

/** Whether a request failed because the object, or the upload, is not there. A bucket that is gone is something else. */
export function isMissing(thrown: unknown): boolean {
  const { name, $metadata } = (thrown ?? {}) as S3Failure;
  return $metadata?.httpStatusCode === 404 && name !== "NoSuchBucket";
}
