import { fstatSync } from "node:fs";
import koffi from "koffi";
import { SignetError } from "../errors.ts";
import {
  CREATE_ARGS_BYTES,
  createProto,
  DEVICE_CPU,
  DEVICE_CUDA,
  describeProto,
  destroyProto,
  FILE_BYTES,
  PLUGIN_BYTES,
  PLUGIN_SYMBOL,
  SIGNET_ABI_VERSION,
  SIGNET_OK,
  SIGNET_OUT_OF_RANGE,
  signetPlugin,
} from "./abi.ts";
import { isSealed, mapFile } from "./libc.ts";

/** A sealed file that this process inherited, and what it is for. */
export interface InheritedFile {
  readonly name: string;
  readonly role: "library" | "dependency" | "model";
  readonly fd: number;
}

const ERROR_BYTES = 2048;
const MAX_DESCRIPTION_BYTES = 1 << 20;

// Whatever a plugin may still point to must outlive every call: code, model files, configuration text.
const keptAlive: unknown[] = [];

/**
 * Loads a plugin from sealed memory, its dependencies first in the order given: glibc satisfies DT_NEEDED
 * with a library of that SONAME which is already loaded, so no search path is ever consulted for them.
 * Runs in a service host; never in the gateway.
 * @throws LIBRARY_UNSEALABLE, PLUGIN_INCOMPATIBLE, SERVICE_START_FAILED
 */
export function loadPlugin(files: readonly InheritedFile[]): Plugin {
  for (const file of files) {
    if (!isSealed(file.fd)) throw new SignetError("LIBRARY_UNSEALABLE", `${file.name}: expected a sealed memory file`);
  }
  for (const file of files) if (file.role === "dependency") keptAlive.push(loadSealed(file));
  const main = files.find((file) => file.role === "library");
  if (main === undefined) throw new SignetError("PLUGIN_INCOMPATIBLE", "no file has the role library");
  const library = loadSealed(main);
  keptAlive.push(library);

  let entry: () => bigint | null;
  try {
    entry = library.func(`void *${PLUGIN_SYMBOL}()`);
  } catch (error) {
    throw new SignetError(
      "PLUGIN_INCOMPATIBLE",
      `${main.name}: expected it to export ${PLUGIN_SYMBOL}, found no such symbol`,
      {
        cause: error,
      },
    );
  }
  const address = entry();
  if (!address) throw new SignetError("PLUGIN_INCOMPATIBLE", `${main.name}: ${PLUGIN_SYMBOL}() returned null`);
  // The two numbers come first in the struct so that they can be read before anything else is believed.
  const [abiVersion, structSize] = koffi.decode(address, "uint32_t", 2) as [number, number];
  if (abiVersion !== SIGNET_ABI_VERSION) {
    throw new SignetError(
      "PLUGIN_INCOMPATIBLE",
      `${main.name}: expected plugin ABI ${SIGNET_ABI_VERSION}, found ${abiVersion}`,
    );
  }
  if (structSize < PLUGIN_BYTES) {
    throw new SignetError(
      "PLUGIN_INCOMPATIBLE",
      `${main.name}: expected a plugin struct of ${PLUGIN_BYTES} bytes or more, found ${structSize}`,
    );
  }
  return new Plugin(main.name, BigInt(address));
}

function loadSealed(file: InheritedFile) {
  try {
    return koffi.load(`/proc/self/fd/${file.fd}`);
  } catch (error) {
    // The loader's text names the descriptor; a person wants the library's name.
    const reason = (error as Error).message.replaceAll(`/proc/self/fd/${file.fd}`, file.name);
    throw new SignetError("SERVICE_START_FAILED", `${file.name} could not be loaded: ${reason}`);
  }
}

interface PluginFunctions {
  readonly describe: bigint | null;
  readonly create: bigint | null;
  readonly run: bigint | null;
  readonly release: bigint | null;
  readonly destroy: bigint | null;
  readonly warmup: bigint | null;
}

/** A loaded plugin: the main thread's view, which creates and destroys instances. Workers only run them. */
export class Plugin {
  readonly name: string;
  /** Address of the plugin's function table, the same in every thread. */
  readonly address: bigint;
  readonly functions: PluginFunctions;

  constructor(name: string, address: bigint) {
    this.name = name;
    this.address = address;
    this.functions = koffi.decode(address, signetPlugin) as PluginFunctions;
    for (const required of ["describe", "create", "run", "release", "destroy"] as const) {
      if (!this.functions[required]) {
        throw new SignetError("PLUGIN_INCOMPATIBLE", `${name}: expected a function ${required}, found null`);
      }
    }
  }

  /** The plugin's description as JSON text; of the plugin itself when `instance` is null, else of its model. */
  describe(instance: bigint | null): string {
    const describe = koffi.decode(this.functions.describe, describeProto);
    const error = Buffer.alloc(ERROR_BYTES);
    const length = new BigUint64Array(1);
    let json = Buffer.alloc(16 << 10);
    for (let attempt = 0; attempt < 2; attempt++) {
      const status = describe(instance, json, json.length, length, error, error.length) as number;
      const needed = Number(length[0]);
      if (status === SIGNET_OK && needed <= json.length) return json.toString("utf8", 0, needed);
      if (status !== SIGNET_OUT_OF_RANGE || needed > MAX_DESCRIPTION_BYTES) {
        throw new SignetError(
          "SERVICE_START_FAILED",
          `${this.name}: describe failed with status ${status}: ${errorText(error)}`,
        );
      }
      json = Buffer.alloc(needed);
    }
    throw new SignetError("SERVICE_START_FAILED", `${this.name}: describe asked for more room twice`);
  }

  /**
   * Creates an instance with the given model files.
   * @param device `cuda` is the first GPU that this process sees
   * @throws SERVICE_START_FAILED with the plugin's words
   */
  create(config: unknown, models: readonly InheritedFile[], device: "cpu" | "cuda" = "cpu"): bigint {
    const create = koffi.decode(this.functions.create, createProto);
    const configText = Buffer.from(`${JSON.stringify(config)}\0`);
    const table = Buffer.alloc(Math.max(models.length, 1) * FILE_BYTES);
    for (const [index, model] of models.entries()) {
      const size = fstatSync(model.fd).size;
      const name = Buffer.from(`${model.name}\0`);
      keptAlive.push(name);
      table.writeBigUInt64LE(addressOf(name), index * FILE_BYTES);
      // An empty file cannot be mapped; a plugin sees it as a null pointer and zero bytes.
      table.writeBigUInt64LE(size === 0 ? 0n : mapFile(model.fd, size, "read"), index * FILE_BYTES + 8);
      table.writeBigUInt64LE(BigInt(size), index * FILE_BYTES + 16);
    }
    const args = Buffer.alloc(CREATE_ARGS_BYTES);
    args.writeUInt32LE(CREATE_ARGS_BYTES, 0);
    args.writeUInt32LE(device === "cuda" ? DEVICE_CUDA : DEVICE_CPU, 4);
    args.writeInt32LE(0, 8);
    args.writeUInt32LE(models.length, 12);
    args.writeBigUInt64LE(addressOf(configText), 16);
    args.writeBigUInt64LE(addressOf(table), 24);
    keptAlive.push(configText, table, args);

    const instance = new BigUint64Array(1);
    const error = Buffer.alloc(ERROR_BYTES);
    const status = create(args, instance, error, error.length) as number;
    if (status !== SIGNET_OK) {
      throw new SignetError(
        "SERVICE_START_FAILED",
        `${this.name}: create failed with status ${status}: ${errorText(error)}`,
      );
    }
    return instance[0]!;
  }

  destroy(instance: bigint): void {
    koffi.decode(this.functions.destroy, destroyProto)(instance);
  }
}

/** The text a plugin left in an error buffer: up to the first NUL, control characters made visible. */
export function errorText(buffer: Uint8Array): string {
  const end = buffer.indexOf(0);
  const text = Buffer.from(buffer.buffer, buffer.byteOffset, end < 0 ? buffer.length : end).toString("utf8");
  return text.replace(/[\u0000-\u001f\u007f]+/g, " ").trim() || "no reason given";
}

/**
 * The address of a buffer's first byte. koffi turns an empty or detached buffer into 0 silently, so this refuses one.
 */
export function addressOf(buffer: Uint8Array): bigint {
  if (buffer.byteLength === 0) throw new Error("an empty buffer has no address");
  return BigInt(koffi.address(buffer));
}
