import { fileURLToPath } from "node:url";
import { Client, credentials, Metadata, type MethodDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { onTestFinished } from "vitest";

type Message = Record<string, unknown>;

const protocol = loadSync("signet/v1/jobs.proto", {
  includeDirs: [fileURLToPath(new URL("../../proto", import.meta.url))],
  keepCase: true,
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
})["signet.v1.JobService"] as unknown as Record<string, MethodDefinition<Message, Message>>;

/** What a test reads of a job's status. */
export interface JobStatus {
  readonly job_id: string;
  readonly model_name: string;
  readonly state: string;
  readonly cancel_requested: boolean;
  readonly progress_permille: number;
  readonly stage: number;
  readonly remaining_ms: number;
  readonly waits_for: string;
  readonly attempts: number;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly client: string;
  readonly run_ms: number;
  readonly seq: number;
}

export interface JobChange {
  readonly status: JobStatus;
  readonly event: { readonly seq: number; readonly type: string; readonly state: string } | null;
}

export interface JobResult {
  readonly outputs: readonly { name: string; datatype: string; shape: number[]; byte_size: number }[];
  readonly bytes: Buffer;
}

export interface UploadedArtifact {
  readonly sha256: string;
  readonly byte_size: number;
}

export interface OpenUpload {
  readonly ended: Promise<UploadedArtifact>;
  send(chunk: Buffer): void;
  cancel(): void;
}

/** A client of the jobs made of grpc-js and the .proto files, and nothing of src/. */
export class JobClient {
  readonly #client: Client;
  readonly #metadata = new Metadata();

  constructor(address: string, token: string | null) {
    this.#client = new Client(address, credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
      "grpc.max_receive_message_length": -1,
    });
    if (token !== null) this.#metadata.set("authorization", `Bearer ${token}`);
  }

  call<Response>(method: string, request: Message, timeoutMs = 30_000): Promise<Response> {
    const { path, requestSerialize, responseDeserialize } = protocol[method]!;
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + timeoutMs };
      const done = (error: Error | null, response?: Message) => (error ? reject(error) : resolve(response as Response));
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        this.#metadata,
        options,
        done,
      );
    });
  }

  async submit(...jobs: Message[]): Promise<JobStatus[]> {
    return (await this.call<{ jobs: JobStatus[] }>("DoJobs", { jobs })).jobs;
  }

  async status(jobId: string): Promise<JobStatus> {
    return (await this.call<{ status: JobStatus }>("GetStatus", { job_id: jobId })).status;
  }

  async *stream<Response>(method: string, request: Message): AsyncGenerator<Response> {
    const { path, requestSerialize, responseDeserialize } = protocol[method]!;
    const call = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      this.#metadata,
      {},
    );
    try {
      for await (const response of call) yield response as Response;
    } finally {
      call.cancel();
    }
  }

  /** What a watch said until the job had ended. */
  async watch(jobId: string, afterSeq = 0): Promise<JobChange[]> {
    const changes: JobChange[] = [];
    for await (const change of this.stream<JobChange>("WatchJob", { job_id: jobId, after_seq: afterSeq })) {
      changes.push(change);
    }
    return changes;
  }

  /** The job as it ended. */
  async ended(jobId: string): Promise<JobStatus> {
    return (await this.watch(jobId)).at(-1)!.status;
  }

  async result(jobId: string): Promise<JobResult> {
    let outputs: JobResult["outputs"] = [];
    const chunks: Buffer[] = [];
    type Part = { header?: { outputs: JobResult["outputs"] } | null; chunk?: Buffer };
    for await (const { header, chunk } of this.stream<Part>("GetResult", { job_id: jobId })) {
      if (header) outputs = header.outputs;
      else chunks.push(chunk!);
    }
    return { outputs, bytes: Buffer.concat(chunks) };
  }

  upload(pieces: readonly Message[]): Promise<UploadedArtifact> {
    const upload = this.#beginUpload();
    for (const piece of pieces) upload.call.write(piece);
    upload.call.end();
    return upload.ended;
  }

  /** An upload that goes on until it is told to end. */
  beginUpload(): OpenUpload {
    const { call, ended } = this.#beginUpload();
    ended.catch(() => {}); // whoever wants to know awaits it
    return { ended, send: (chunk) => void call.write({ chunk }), cancel: () => call.cancel() };
  }

  #beginUpload() {
    const { path, requestSerialize, responseDeserialize } = protocol.UploadArtifact!;
    const { promise: ended, resolve, reject } = Promise.withResolvers<UploadedArtifact>();
    const call = this.#client.makeClientStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      this.#metadata,
      {},
      (error, response) => (error ? reject(error) : resolve(response as never)),
    );
    return { call, ended };
  }

  close(): void {
    this.#client.close();
  }
}

/** A client that is closed with the test. */
export function useJobClient(address: string, token: string | null): JobClient {
  const client = new JobClient(address, token);
  onTestFinished(() => client.close());
  return client;
}
