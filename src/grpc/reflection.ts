import { fileURLToPath } from "node:url";
import { type Server, type ServerDuplexStream, type ServiceDefinition, status } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { identityOf } from "./call-gate.ts";
import { Descriptors } from "./descriptors.ts";
import { grpcStatusFromError } from "./errors.ts";

interface ReflectionRequest {
  readonly host: string;
  readonly message_request?: string;
  readonly file_by_filename?: string;
  readonly file_containing_symbol?: string;
}

type Stream = ServerDuplexStream<ReflectionRequest, object>;

/** A name that was not found is quoted up to here. */
const MAX_NAME = 200;

/**
 * grpc.reflection.v1 and v1alpha: tells a client with a token what there is to call. Written here because
 * @grpc/reflection writes answers whether they are read or not, so that one client could fill the memory with them, takes
 * `constructor` for a name it knows, and brings a second proto-loader.
 */
export function addReflection(server: Server, services: Readonly<Record<string, ServiceDefinition>>): void {
  const v1 = loadReflection();
  const descriptors = new Descriptors([...Object.values(services), v1]);
  const names = [...Object.keys(services), "grpc.reflection.v1.ServerReflection"];
  const handlers = {
    ServerReflectionInfo: (call: Stream) => serve(call, (request) => answer(request, descriptors, names)),
  };
  server.addService(v1, handlers);
  server.addService(renamed(v1), handlers);
}

function loadReflection(): ServiceDefinition {
  const file = fileURLToPath(new URL("../../proto/reflection.proto", import.meta.url));
  const loaded = loadSync(file, { keepCase: true, oneofs: true });
  return loaded["grpc.reflection.v1.ServerReflection"] as unknown as ServiceDefinition;
}

/** v1alpha has other paths and the same messages. */
function renamed(v1: ServiceDefinition): ServiceDefinition {
  const methods = Object.entries(v1).map(([name, method]) => {
    return [name, { ...method, path: method.path.replace(".v1.", ".v1alpha.") }];
  });
  return Object.fromEntries(methods);
}

/** Answers each question when the client has taken the answers before it. */
function serve(call: Stream, answer: (request: ReflectionRequest) => object): void {
  try {
    identityOf(call).require("metadata");
  } catch (error) {
    call.emit("error", grpcStatusFromError(error));
    return;
  }
  call.on("data", (request: ReflectionRequest) => {
    if (!call.write(answer(request))) call.pause();
  });
  call.on("drain", () => call.resume());
  call.on("end", () => call.end());
}

function answer(request: ReflectionRequest, descriptors: Descriptors, services: readonly string[]): object {
  const common = { valid_host: request.host, original_request: request };
  const failed = (error_code: number, error_message: string) => ({
    ...common,
    error_response: { error_code, error_message },
  });
  const filesOr = (files: Buffer[] | undefined, what: string, name: string) =>
    files === undefined
      ? failed(status.NOT_FOUND, `no ${what} ${JSON.stringify(name.slice(0, MAX_NAME))} is known here`)
      : { ...common, file_descriptor_response: { file_descriptor_proto: files } };
  switch (request.message_request) {
    case "list_services":
      return { ...common, list_services_response: { service: services.map((name) => ({ name })) } };
    case "file_containing_symbol": {
      const symbol = request.file_containing_symbol ?? "";
      return filesOr(descriptors.declaring(symbol), "symbol", symbol);
    }
    case "file_by_filename": {
      const file = request.file_by_filename ?? "";
      return filesOr(descriptors.named(file), "file", file);
    }
    case "file_containing_extension":
    case "all_extension_numbers_of_type":
      return failed(status.NOT_FOUND, "no message here has extensions");
    default:
      return failed(status.INVALID_ARGUMENT, "expected a question, found none that is known");
  }
}
