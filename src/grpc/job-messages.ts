import { fileURLToPath } from "node:url";
import type {
  handleClientStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  MethodDefinition,
  ServiceDefinition,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { SignetError } from "../errors.ts";
import { verifyDoJobsBytes } from "./infer-request-limits.ts";
import type { InferRequestMessage } from "./messages.ts";

/** The messages of proto/signet/v1/jobs.proto as proto-loader gives and takes them, like those in messages.ts. */

type Int64 = string | number;

export interface ArtifactInputMessage {
  name: string;
  sha256: string;
  datatype: string;
  shape: Int64[];
}

export interface JobRequestMessage {
  request: InferRequestMessage | null;
  artifact_inputs: ArtifactInputMessage[];
  idempotency_key: string;
  timeout_ms: Int64;
  labels: Record<string, string>;
}

export interface DoJobsRequestMessage {
  jobs: JobRequestMessage[];
  /** How many objects it is made of. */
  parts?: number;
  /** Set where the bytes were not a request; the handler throws it, after the caller has been let in. */
  malformed?: SignetError;
}

export interface JobErrorMessage {
  code: string;
  message: string;
}

export interface JobStatusMessage {
  job_id: string;
  model_name: string;
  model_version: string;
  state: string;
  cancel_requested: boolean;
  progress_permille: number;
  stage: number;
  remaining_ms: Int64;
  waits_for: string;
  device: string;
  attempts: number;
  max_attempts: number;
  error: JobErrorMessage | null;
  submitted_ms: Int64;
  started_ms: Int64;
  ended_ms: Int64;
  deadline_ms: Int64;
  run_ms: number;
  priority: Int64;
  labels: Record<string, string>;
  idempotency_key: string;
  client: string;
  seq: Int64;
}

export interface JobEventMessage {
  seq: Int64;
  time_ms: Int64;
  type: string;
  state: string;
  attempt: number;
  error: JobErrorMessage | null;
}

export interface WatchJobMessage {
  status: JobStatusMessage;
  event: JobEventMessage | null;
}

export interface ListJobsRequestMessage {
  model_name: string;
  states: string[];
  labels: Record<string, string>;
  page_size: number;
  page_token: string;
  own: boolean;
}

export interface ResultTensorMessage {
  name: string;
  datatype: string;
  shape: Int64[];
  byte_size: Int64;
}

export interface ResultMessage {
  header?: { model_name: string; model_version: string; outputs: ResultTensorMessage[] };
  chunk?: Uint8Array;
}

export interface UploadMessage {
  promise?: { sha256: string; byte_size: Int64 } | null;
  chunk?: Uint8Array;
}

export interface ArtifactMessage {
  sha256: string;
  byte_size: Int64;
}

/** Every unary call with its request and response. */
interface JobCalls {
  DoJobs: [DoJobsRequestMessage, { jobs: JobStatusMessage[] }];
  GetStatus: [{ job_id: string; report: boolean }, { status: JobStatusMessage; report: string }];
  CancelJob: [{ job_id: string }, { status: JobStatusMessage }];
  ListJobs: [ListJobsRequestMessage, { jobs: JobStatusMessage[]; next_page_token: string }];
}

export type JobHandlers = {
  [Call in keyof JobCalls]: handleUnaryCall<JobCalls[Call][0], JobCalls[Call][1]>;
} & {
  WatchJob: handleServerStreamingCall<{ job_id: string; after_seq: Int64 }, WatchJobMessage>;
  GetResult: handleServerStreamingCall<{ job_id: string }, ResultMessage>;
  UploadArtifact: handleClientStreamingCall<UploadMessage, ArtifactMessage>;
};

export type JobService = ServiceDefinition & {
  [Call in keyof JobCalls]: MethodDefinition<JobCalls[Call][0], JobCalls[Call][1]>;
} & {
  WatchJob: MethodDefinition<{ job_id: string; after_seq: Int64 }, WatchJobMessage>;
  GetResult: MethodDefinition<{ job_id: string }, ResultMessage>;
  UploadArtifact: MethodDefinition<UploadMessage, ArtifactMessage>;
};

let loaded: JobService | undefined;

/** The service definition for a grpc-js server or client; the .proto file is read on the first call. */
export function jobService(): JobService {
  loaded ??= loadJobService();
  return loaded;
}

function loadJobService(): JobService {
  const definition = loadSync("signet/v1/jobs.proto", {
    includeDirs: [fileURLToPath(new URL("../../proto", import.meta.url))],
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
    arrays: true,
    objects: true,
    oneofs: true,
  });
  const service = definition["signet.v1.JobService"] as unknown as JobService;
  const decode = service.DoJobs.requestDeserialize;
  // Never throws, as in messages.ts.
  const requestDeserialize = (bytes: Buffer): DoJobsRequestMessage => {
    try {
      const parts = verifyDoJobsBytes(bytes);
      return { ...decode(bytes), parts };
    } catch (error) {
      const malformed =
        error instanceof SignetError
          ? error
          : new SignetError("REQUEST_MALFORMED", "expected a DoJobsRequest, found other bytes", { cause: error });
      return { jobs: [], malformed };
    }
  };
  return { ...service, DoJobs: { ...service.DoJobs, requestDeserialize } };
}
