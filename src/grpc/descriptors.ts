import type { ServiceDefinition } from "@grpc/grpc-js";
import { loadSync, type MessageTypeDefinition } from "@grpc/proto-loader";

/** What of google/protobuf/descriptor.proto is read here; proto-loader brings that file. */
interface FileDescriptor {
  readonly name: string;
  readonly package: string;
  readonly dependency: readonly string[];
  readonly messageType: readonly MessageDescriptor[];
  readonly enumType: readonly Named[];
  readonly service: readonly (Named & { readonly method: readonly Named[] })[];
}

interface MessageDescriptor extends Named {
  readonly nestedType: readonly MessageDescriptor[];
  readonly enumType: readonly Named[];
}

interface Named {
  readonly name: string;
}

interface File {
  readonly dependencies: readonly string[];
  readonly bytes: Buffer;
}

/** The .proto files of services as protobuf describes them, by file and by what they declare. */
export class Descriptors {
  readonly #files = new Map<string, File>();
  readonly #fileBySymbol = new Map<string, string>();

  constructor(services: readonly ServiceDefinition[]) {
    const loaded = loadSync("google/protobuf/descriptor.proto", { arrays: true, defaults: true });
    const { deserialize } = loaded["google.protobuf.FileDescriptorProto"] as MessageTypeDefinition<object, object>;
    for (const service of services) {
      for (const bytes of filesOf(service)) this.#add(deserialize(bytes) as FileDescriptor, bytes);
    }
  }

  /** The file that declares a type, a service or a method, and those it depends on; undefined where none does. */
  declaring(symbol: string): Buffer[] | undefined {
    const file = this.#fileBySymbol.get(symbol);
    return file === undefined ? undefined : this.named(file);
  }

  /** The file of that name, and those it depends on; undefined where there is none. */
  named(file: string): Buffer[] | undefined {
    if (!this.#files.has(file)) return undefined;
    const names = new Set([file]);
    // A set goes on to what is added to it meanwhile.
    for (const name of names) for (const dependency of this.#files.get(name)?.dependencies ?? []) names.add(dependency);
    return [...names].flatMap((name) => this.#files.get(name)?.bytes ?? []);
  }

  #add({ name, package: scope, dependency, messageType, enumType, service }: FileDescriptor, bytes: Buffer): void {
    this.#files.set(name, { dependencies: dependency, bytes });
    const services = service.flatMap((one) => [one.name, ...one.method.map((method) => `${one.name}.${method.name}`)]);
    for (const symbol of [...typesOf(messageType, enumType), ...services]) {
      this.#fileBySymbol.set(`${scope}.${symbol}`, name);
    }
  }
}

/** proto-loader gives each message the file that it is of, and all others that were read with that. */
function filesOf(service: ServiceDefinition): readonly Buffer[] {
  const [method] = Object.values(service) as unknown as { requestType: MessageTypeDefinition<object, object> }[];
  return method?.requestType.fileDescriptorProtos ?? [];
}

function typesOf(messages: readonly MessageDescriptor[], enums: readonly Named[]): string[] {
  const nested = messages.flatMap(({ name, nestedType, enumType }) => [
    name,
    ...typesOf(nestedType, enumType).map((inner) => `${name}.${inner}`),
  ]);
  return [...nested, ...enums.map(({ name }) => name)];
}
