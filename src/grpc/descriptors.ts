import type { ServiceDefinition } from "@grpc/grpc-js";
import { loadSync, type MessageTypeDefinition } from "@grpc/proto-loader";

/** What of google/protobuf/descriptor.proto is read here; proto-loader brings that file. */
interface FileDescriptor {
  readonly name: string;
  readonly package: string;
  readonly messageType: readonly MessageDescriptor[];
  readonly enumType: readonly Named[];
  readonly service: readonly (Named & { readonly method: readonly MethodDescriptor[] })[];
}

interface MethodDescriptor extends Named {
  readonly inputType: string;
  readonly outputType: string;
}

interface MessageDescriptor extends Named {
  readonly field: readonly { readonly typeName: string }[];
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
      const bytes = filesOf(service);
      const files = bytes.map((each) => deserialize(each) as FileDescriptor);
      files.forEach((file, index) => {
        const dependencies = dependenciesOf(file, files);
        this.#add(file, { dependencies, bytes: Buffer.concat([bytes[index]!, ...dependencies.map(asDependency)]) });
      });
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

  #add({ name, package: scope, messageType, enumType, service }: FileDescriptor, file: File): void {
    this.#files.set(name, file);
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

/** protobufjs forgets what a file imports, so it is found by the types that are used. */
function dependenciesOf(file: FileDescriptor, files: readonly FileDescriptor[]): string[] {
  const methods = file.service.flatMap(({ method }) => method);
  const used = [
    ...methods.flatMap(({ inputType, outputType }) => [inputType, outputType]),
    ...file.messageType.flatMap(usedBy),
  ];
  return files
    .filter((other) => other !== file && used.some((name) => `.${name}`.includes(`.${other.package}.`)))
    .map(({ name }) => name);
}

/** Field 3 of a FileDescriptorProto, to be appended to one. */
function asDependency(file: string): Buffer {
  return Buffer.concat([Buffer.of(0x1a, Buffer.byteLength(file)), Buffer.from(file)]);
}

function usedBy({ field, nestedType }: MessageDescriptor): string[] {
  return [...field.map(({ typeName }) => typeName), ...nestedType.flatMap(usedBy)];
}

function typesOf(messages: readonly MessageDescriptor[], enums: readonly Named[]): string[] {
  const nested = messages.flatMap(({ name, nestedType, enumType }) => [
    name,
    ...typesOf(nestedType, enumType).map((inner) => `${name}.${inner}`),
  ]);
  return [...nested, ...enums.map(({ name }) => name)];
}
