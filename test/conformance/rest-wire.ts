import { RestClient } from "../helpers/rest-client.ts";
import {
  type InferRequest,
  type Message,
  type Outcome,
  type Parameter,
  type Step,
  stepByStep,
  type Tokens,
  type Wire,
} from "./case.ts";
import type { Operation } from "./operations.ts";

interface Sent {
  readonly method?: "GET" | "POST";
  readonly path: string;
  readonly body?: string | Buffer;
  readonly headers?: Record<string, string>;
}

type Json = Readonly<Record<string, unknown>>;
type Form = readonly [
  send: (request: never) => Sent,
  answer: (json: never, body: Buffer, jsonBytes: number) => unknown,
];

const LENGTH = "inference-header-content-length";

/** REST, by Node's HTTP: raw contents as binary data, typed ones in JSON. */
export function restWire(address: string, tokens: Tokens): Wire {
  const client = new RestClient(address, null);
  const send = async ({ call, as = "client", request = {} }: Step): Promise<Outcome> => {
    const [write, read] = forms[call]!;
    const { method = "GET", path, body, headers = {} } = write(request as never);
    const sent = typeof body === "string" ? Buffer.from(body) : body;
    const answer = await client.call(method, path, { token: tokens[as], body: sent, headers });
    const { status, code = null } = answer;
    // A service that is not ready is an answer, whose status is for probes.
    if (code !== null || (status !== 200 && !path.endsWith("/ready"))) {
      return { fails: { status, code, words: answer.body.toString() } };
    }
    const jsonBytes = Number(answer.headers[LENGTH] ?? answer.body.length);
    return { answer: read(JSON.parse(answer.body.toString("utf8", 0, jsonBytes)) as never, answer.body, jsonBytes) };
  };
  return { perform: stepByStep(send) };
}

const asIs = (json: Json) => json;
const asNothing = () => ({});

/** How each call is asked over REST, and what its answer is in the words of the .proto file. */
const forms: Partial<Record<Operation, Form>> = {
  ServerLive: [() => ({ path: "/v2/health/live" }), asIs],
  ServerReady: [() => ({ path: "/v2/health/ready" }), asIs],
  ModelReady: [(request: Named) => ({ path: `${pathOf(request)}/ready` }), asIs],
  ServerMetadata: [() => ({ path: "/v2" }), asIs],
  ModelMetadata: [(request: Named) => ({ path: pathOf(request) }), asIs],
  ModelConfig: [(request: Named) => ({ path: `${pathOf(request)}/config` }), (config: Json) => ({ config })],
  ModelStatistics: [(request: Named) => ({ path: `${pathOf(request)}/stats` }), asIs],
  ModelInfer: [writeInfer, readInfer],
  RepositoryIndex: [() => post("/v2/repository/index", {}), (models: Json[]) => ({ models })],
  RepositoryModelLoad: [(request: Loaded) => post(`${loadedPath(request)}/load`, plainIn(request)), asNothing],
  RepositoryModelUnload: [(request: Loaded) => post(`${loadedPath(request)}/unload`, plainIn(request)), asNothing],
  SystemSharedMemoryStatus: [
    ({ name }: Named) => ({ path: `/v2/systemsharedmemory${name ? `/region/${name}` : ""}/status` }),
    (regions: Named[]) => ({ regions: Object.fromEntries(regions.map((region) => [region.name, region])) }),
  ],
  SystemSharedMemoryRegister: [
    ({ name, key, offset, byte_size }: Json) =>
      post(`/v2/systemsharedmemory/region/${name}/register`, {
        ...{ key, offset: Number(offset), byte_size: Number(byte_size) },
      }),
    asNothing,
  ],
  SystemSharedMemoryUnregister: [
    ({ name }: Named) => post(`/v2/systemsharedmemory/region/${name}/unregister`, {}),
    asNothing,
  ],
  CudaSharedMemoryStatus: [() => ({ path: "/v2/cudasharedmemory/status" }), () => ({})],
  CudaSharedMemoryRegister: [({ name }: Named) => post(`/v2/cudasharedmemory/region/${name}/register`, {}), asNothing],
  CudaSharedMemoryUnregister: [() => post("/v2/cudasharedmemory/unregister", {}), asNothing],
  TraceSetting: [
    ({ settings, model_name: model }: { settings: Record<string, { value: string[] }>; model_name?: string }) => {
      const values = Object.entries(settings).map(([name, { value }]) => [name, value.length > 0 ? value : null]);
      return change(`/v2${model ? `/models/${model}` : ""}/trace/setting`, Object.fromEntries(values));
    },
    (json: Json) => ({
      settings: Object.fromEntries(Object.entries(json).map(([name, value]) => [name, { value: [value].flat() }])),
    }),
  ],
  LogSettings: [
    ({ settings }: { settings: Record<string, Parameter> }) => change("/v2/logging", plain(settings)),
    (json: Json) => ({
      settings: Object.fromEntries(Object.entries(json).map(([name, value]) => [name, kind(value)])),
    }),
  ],
};

type Named = { readonly name: string; readonly version?: string };
type Loaded = { readonly model_name: string; readonly parameters?: Record<string, Parameter> };

function pathOf({ name, version = "" }: Named): string {
  return `/v2/models/${name}${version === "" ? "" : `/versions/${version}`}`;
}

function loadedPath({ model_name }: Loaded): string {
  return `/v2/repository/models/${model_name}`;
}

function plainIn({ parameters = {} }: Loaded): object {
  return { parameters: plain(parameters) };
}

function post(path: string, body: object): Sent {
  return { method: "POST", path, body: JSON.stringify(body) };
}

/** Reading is GET, so that nothing is changed by mistake. */
function change(path: string, wanted: object): Sent {
  return Object.keys(wanted).length === 0 ? { path } : post(path, wanted);
}

/** Parameters without their kinds; one without a value is null. */
function plain(parameters: Readonly<Record<string, Parameter>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, parameter]) => [name, Object.values(parameter)[0] ?? null]),
  );
}

function kind(value: unknown): Parameter {
  if (typeof value === "boolean") return { bool_param: value };
  return typeof value === "number" ? { uint32_param: value } : { string_param: String(value) };
}

function writeInfer(request: InferRequest): Sent {
  const {
    model_name,
    model_version = "",
    inputs = [],
    outputs,
    raw_input_contents: raw = [],
    parameters = {},
  } = request;
  let next = 0;
  const written = inputs.map(({ name, datatype, shape, contents, parameters: own = {} }) => {
    const bytes = "shared_memory_region" in own ? undefined : raw[next++];
    const size = bytes === undefined ? {} : { binary_data_size: bytes.length };
    const values = Object.values(contents ?? {})[0];
    const data = values === undefined ? {} : { data: values.map(element) };
    return { name, datatype, shape: shape.map(digits), parameters: { ...plain(own), ...size }, ...data };
  });
  const json = {
    ...(request.id === undefined ? {} : { id: request.id }),
    parameters: { ...plain(parameters), binary_data_output: true },
    inputs: written,
    ...(outputs && {
      outputs: outputs.map((output) => ({ name: output.name, parameters: plain(output.parameters ?? {}) })),
    }),
  };
  const text = Buffer.from(JSON.stringify(json).replaceAll(/"digits:(-?\d+)"/g, "$1"));
  return {
    method: "POST",
    path: `${pathOf({ name: model_name, version: model_version })}/infer`,
    body: Buffer.concat([text, ...raw]),
    headers: { [LENGTH]: `${text.length}` },
  };
}

/** A number that JavaScript may not have. */
function digits(size: number | string): string {
  return `digits:${size}`;
}

function element(value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

interface RestOutput {
  readonly name: string;
  readonly parameters?: { readonly binary_data_size?: number };
}

function readInfer(json: Message & { outputs: RestOutput[] }, body: Buffer, jsonBytes: number): unknown {
  let at = jsonBytes;
  const raw = json.outputs.map(({ parameters }) => {
    const start = at;
    at += parameters?.binary_data_size ?? 0;
    return body.subarray(start, at);
  });
  return { ...json, raw_output_contents: raw };
}
