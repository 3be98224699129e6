import type { Operation } from "./operations.ts";

/** Written as the .proto file has it; every wire puts it into its own form. */
export type Message = Readonly<Record<string, unknown>>;

/** A tensor's bytes as raw contents have them. */
export interface InferRequest {
  readonly model_name: string;
  readonly model_version?: string;
  readonly id?: string;
  readonly parameters?: Readonly<Record<string, Parameter>>;
  readonly inputs?: readonly InferInput[];
  readonly outputs?: readonly { readonly name: string; readonly parameters?: Readonly<Record<string, Parameter>> }[];
  readonly raw_input_contents?: readonly Buffer[];
}

export interface InferInput {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly (number | string)[];
  readonly parameters?: Readonly<Record<string, Parameter>>;
  readonly contents?: Readonly<Record<string, readonly unknown[]>>;
}

/** One of the protocol's kinds; none of them is a parameter without a value. */
export type Parameter = Readonly<Record<string, boolean | number | string>>;

/** How a call fails, on every wire. Written by hand, and not taken from the code that is tested. */
export interface Failure {
  readonly grpc: string;
  readonly http: number;
  /** Signet's own; null where the client may be the first to say so. */
  readonly code: string | null;
  /** In what the client is told. */
  readonly words?: string;
}

/** Whose token a call has. */
export type Caller = "client" | "viewer" | "operator" | "limited" | "nobody" | "stranger";

export interface Step {
  readonly call: Operation;
  /** Whose call it is; a client's unless it says otherwise. */
  readonly as?: Caller;
  /** Several for a stream. */
  readonly request?: Message | InferRequest | readonly InferRequest[];
  readonly headers?: Readonly<Record<string, string>>;
  /** The call's deadline. */
  readonly timeoutMs?: number;
  /** What the answer has, among more; for a stream, what each of its answers has. */
  readonly answer?: Message | readonly Message[];
  readonly fails?: Failure;
}

export interface ConformanceCase {
  /** A sentence with the call as its subject. */
  readonly name: string;
  /** The sentence for it and its like, where one is enough for readers. */
  readonly family?: string;
  readonly steps: readonly [Step, ...Step[]];
  /** Wires that do not have it, beside those of which that is clear from its steps. */
  readonly notOver?: readonly WireName[];
  /** Where Triton does otherwise: what, and why Signet does not. */
  readonly deviation?: string;
}

export interface Area {
  readonly title: string;
  readonly cases: readonly ConformanceCase[];
}

export const wireNames = ["gRPC", "gRPC on node", "gRPC-Web", "REST", "Python gRPC", "Python HTTP"] as const;
export type WireName = (typeof wireNames)[number];

/** What a wire brought back, in the words of the .proto file. */
export interface Outcome {
  readonly answer?: unknown;
  readonly fails?: { readonly status: string | number; readonly code: string | null; readonly words?: string };
}

/** A way to the server, which gives each step its own form. */
export interface Wire {
  /** What came of the case's steps, one after the other. */
  perform(tried: ConformanceCase): Promise<readonly Outcome[]>;
  close?(): void;
}

/** Tokens by their holders; null for none. */
export type Tokens = Readonly<Record<Caller, string | null>>;

/** A wire that sends one step at a time. */
export function stepByStep(send: (step: Step) => Promise<Outcome>): Wire["perform"] {
  return async ({ steps }) => {
    const outcomes: Outcome[] = [];
    for (const step of steps) outcomes.push(await send(step));
    return outcomes;
  };
}
