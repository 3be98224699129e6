import type { JobState } from "./job-state.ts";

/**
 * What survives a restart: jobs, what happened to them, what they were charged, and which instance of a service has
 * which memory of which device. Every verb is one transaction, but for `sweep`, `failQueued` and `prune`, which take one
 * for some hundreds of jobs at a time. What a verb that changes something returns is on the disk; where it throws
 * STORE_UNAVAILABLE it may still have been done, if the answer was lost. All times are the store's own, ms since 1970:
 * where many hosts share a store, their clocks decide nothing.
 */
export interface Store extends JobStore, PlacementStore {
  /** Lets verbs that are under way end; later ones throw STORE_UNAVAILABLE. */
  close(): Promise<void>;
}

/** Bytes that belong to a job: in its row where they are few, else in the artifact store. */
export type Payload =
  | { readonly inline: Uint8Array }
  /** Its digest, 64 hex digits. */
  | { readonly sha256: string; readonly bytes: number };

/** A job as it is submitted. */
export interface NewJob {
  /** A UUIDv7 (RFC 9562), so that ids sort by time. */
  readonly id: string;
  /** Whose it is: the id of an access token or certificate, and its name for people. */
  readonly identity: string;
  readonly client: string;
  /** The address it came from, without its port. */
  readonly peer: string;
  readonly service: string;
  readonly version: string;
  /** Smaller is earlier. */
  readonly priority: number;
  /** When it is too late for it; null for never. */
  readonly deadlineMs: number | null;
  readonly labels: Readonly<Record<string, string>>;
  /** The same key of the same identity is the same job; null for none. */
  readonly idempotencyKey: string | null;
  /** SHA-256 of all that was asked for, hex: the same key with another request is an error. */
  readonly requestDigest: string;
  readonly maxAttempts: number;
  /** What the job runner needs to read its inputs; the store does not look into it. */
  readonly inputs: Payload;
  /** Artifacts that must stay while the job does. */
  readonly artifacts: readonly string[];
}

/** What a job failed with. */
export interface JobFailure {
  /** A code of the catalogue. */
  readonly code: string;
  readonly message: string;
}

/** A job as it is. */
export interface StoredJob extends Omit<NewJob, "inputs" | "artifacts" | "requestDigest"> {
  readonly state: JobState;
  /** Somebody cancelled it while it runs. */
  readonly isCancelRequested: boolean;
  /** Times that it was claimed and not given back. */
  readonly attempts: number;
  /** Where it runs or ran last, such as `gpu:0`; null before. */
  readonly device: string | null;
  readonly submittedMs: number;
  /** When it was claimed last; null before. */
  readonly startedMs: number | null;
  readonly endedMs: number | null;
  /** Of the last attempt: 0 to 1000, never falling; 0 where nothing is known. */
  readonly progressPermille: number;
  /** Of the last attempt: which part of its work it is in, from 1; 0 says nothing. */
  readonly stage: number;
  /** Why it failed, or why its last attempt did. */
  readonly failure: JobFailure | null;
  /** Time in native code of the attempt that succeeded, ms. */
  readonly runMs: number | null;
  /** Grows with every change of the job: the `seq` of its last event. */
  readonly seq: number;
}

/** Something that happened to a job. */
export interface JobEvent {
  readonly jobId: string;
  /** From 1, without gaps. */
  readonly seq: number;
  readonly timeMs: number;
  /** `retried` without a failure: it was given back. */
  readonly type:
    | "submitted"
    | "claimed"
    | "retried"
    | "lost"
    | "cancel-requested"
    | "succeeded"
    | "failed"
    | "cancelled";
  /** The state it is in from then on. */
  readonly state: JobState;
  readonly attempt: number;
  readonly failure: JobFailure | null;
}

/** What may be done with a claimed job, by whom: every later word about it must come with its fence. */
export interface JobClaim {
  readonly job: StoredJob;
  readonly inputs: Payload;
  /** Grows with every claim of the job, so that whoever had it before is not heard any more. */
  readonly fence: number;
}

/** A process that claims jobs. */
export interface JobOwner {
  /** Stays the same when the server starts again. */
  readonly host: string;
  /** Another one for each start. */
  readonly life: string;
}

export interface Renewal {
  readonly jobId: string;
  readonly fence: number;
  readonly progressPermille: number;
  readonly stage: number;
}

/** `lost`: somebody else has it, or it has ended; whatever it does counts no more. */
export type RenewalVerdict = "ok" | "cancel" | "lost";

export interface JobOutcome {
  readonly jobId: string;
  readonly fence: number;
  readonly runMs: number;
  readonly outputs: Payload;
}

export interface JobFilter {
  /** Only jobs of this identity. */
  readonly identity?: string;
  readonly service?: string;
  readonly states?: readonly JobState[];
  /** Only jobs that have all of these. */
  readonly labels?: Readonly<Record<string, string>>;
}

export interface JobPage {
  /** Newest first. */
  readonly jobs: readonly StoredJob[];
  /** Where the next page begins; null at the end. */
  readonly next: string | null;
}

/** One claim that was charged: what a license owner may hold against the ledger. */
export interface ServiceCharges {
  readonly service: string;
  readonly runs: number;
}

/** What is kept of jobs that ended. */
export interface Retention {
  /** Jobs that ended longer ago go. */
  readonly maxAgeMs: number;
  /** Beyond this the oldest that ended go, bytes of inputs and outputs together. */
  readonly maxBytes: number;
}

/** Jobs waiting or running for one service. */
export interface ServiceLoad {
  readonly service: string;
  readonly queued: number;
  readonly running: number;
}

export interface JobStore {
  /**
   * Accepts all of these jobs, or none. A job whose key its identity used already is the job that has it.
   * @returns the jobs, in this order
   * @throws JOB_KEY_REUSED where such a job asked for something else; JOB_QUEUE_FULL beyond `maxQueued` of an identity
   */
  submit(jobs: readonly NewJob[], maxQueued: number): Promise<readonly StoredJob[]>;
  /**
   * Gives the next jobs of a service to an owner, charges each an attempt, and counts that as a run. The next job is of
   * the smallest priority; among identities with such jobs it is the turn of each in order, however many they have;
   * of one identity it is the one with the earliest deadline, then the oldest.
   */
  claim(owner: JobOwner, service: string, most: number, leaseMs: number): Promise<readonly JobClaim[]>;
  /** Says where a claimed job runs. False where it is not the owner's any more. */
  place(jobId: string, fence: number, device: string): Promise<boolean>;
  /** Says that claimed jobs are still being worked on, for so long again. @returns a verdict for each, in this order */
  renew(renewals: readonly Renewal[], leaseMs: number): Promise<readonly RenewalVerdict[]>;
  /** False where it was not the owner's any more, and nothing changed; so too for the three below. */
  complete(outcome: JobOutcome): Promise<boolean>;
  /** The attempt failed. With `mayRetry` the job waits again, if it has attempts left. */
  fail(jobId: string, fence: number, failure: JobFailure, mayRetry: boolean): Promise<boolean>;
  /** Native code has ended because the job was cancelled. */
  confirmCancelled(jobId: string, fence: number): Promise<boolean>;
  /** The attempt never began: the job waits again, where it waited before, and it is no attempt and no run. */
  giveBack(jobId: string, fence: number): Promise<boolean>;
  /** Cancels a queued job, or marks a running one. @returns the job after that; undefined where there is none */
  cancel(jobId: string): Promise<StoredJob | undefined>;
  get(jobId: string): Promise<StoredJob | undefined>;
  /** What it was asked with; undefined where there is no such job. */
  inputs(jobId: string): Promise<Payload | undefined>;
  /** What a succeeded job answered; undefined for others. */
  outputs(jobId: string): Promise<Payload | undefined>;
  /** What happened to a job after the event `afterSeq`, in order. */
  events(jobId: string, afterSeq: number): Promise<readonly JobEvent[]>;
  /** @param after the `next` of the page before; null for the first. @throws REQUEST_MALFORMED for one that is none */
  list(filter: JobFilter, pageSize: number, after: string | null): Promise<JobPage>;
  load(): Promise<readonly ServiceLoad[]>;
  /** How many queued jobs of its service are to be claimed before this one, at most `most`. */
  ahead(jobId: string, most: number): Promise<number>;
  charges(): Promise<readonly ServiceCharges[]>;
  /**
   * Jobs of owners that are gone wait again, or fail with JOB_ATTEMPTS_EXHAUSTED where they had their last attempt
   * (cancelled, where somebody asked for that); queued jobs whose deadline has passed fail with DEADLINE_EXCEEDED.
   * Gone is a life of this host before `owner`'s, at once, and whoever let a lease run out.
   * @returns the jobs that changed
   */
  sweep(owner: JobOwner): Promise<readonly StoredJob[]>;
  /** Fails the queued jobs of a service, because it will never run here again. @returns the jobs */
  failQueued(service: string, failure: JobFailure): Promise<readonly StoredJob[]>;
  /**
   * Forgets jobs that ended; what they were charged stays counted.
   * @returns artifacts that no job needed any more; one that is submitted meanwhile may name them again
   */
  prune(retention: Retention): Promise<readonly string[]>;
  /** Those of some artifacts that no job needs. */
  unused(artifacts: readonly string[]): Promise<readonly string[]>;
}

/** A device of a host and what it has in total. */
export interface DeviceFacts {
  /** `gpu:0`, or `cpu`, which stands for the processor and the memory of the host. */
  readonly device: string;
  readonly memoryBytes: number;
  /** Cores, for `cpu`; 0 for others. */
  readonly cores: number;
}

/** What an instance of a service takes. */
export interface Needs {
  readonly gpus: number;
  /** On each of its GPUs. */
  readonly gpuMemoryBytes: number;
  readonly cores: number;
  readonly memoryBytes: number;
}

/** An instance that has its devices to itself as far as it needs them. */
export interface Placement {
  readonly instance: string;
  readonly fence: number;
  /** GPUs, in order; empty where it needs none. */
  readonly gpus: readonly string[];
}

/** What keeps an instance from being placed. */
export interface Shortage {
  readonly device: string;
  readonly resource: "memory" | "cores" | "devices";
  /** Bytes, cores or GPUs. */
  readonly needed: number;
  readonly free: number;
  /** Who has the rest, most first. */
  readonly heldBy: readonly { readonly service: string; readonly amount: number }[];
}

export interface PlacementStore {
  /**
   * What the host has. Instances of its earlier lives are gone, and so are their reservations. Devices that the same life
   * names again are left as they are, with what is reserved of them; others are added, and none goes.
   */
  registerHost(owner: JobOwner, devices: readonly DeviceFacts[]): Promise<void>;
  /**
   * Reserves what an instance needs: GPUs with room for it, and cores and memory of the host. No device ever has more
   * reserved than it has, and no slot of a service more than one instance.
   * @param gpus those of the host that may be taken, the preferred ones first: the first that have room are. What is
   * measured on a card and how instances spread over them is for the caller to say, who sees the cards.
   * @throws INSTANCE_EXISTS where the slot has one
   */
  reserve(
    owner: JobOwner,
    service: string,
    slot: number,
    needs: Needs,
    gpus: readonly string[],
  ): Promise<Placement | { readonly shortages: readonly Shortage[] }>;
  /** The instance is gone. False where that was known. */
  release(instance: string, fence: number): Promise<boolean>;
  /** What is free of each device of a host. */
  free(host: string): Promise<readonly DeviceFacts[]>;
}
