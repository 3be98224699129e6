import { readFile } from "node:fs/promises";
import { z } from "zod";
import { fileError, SignetError } from "../../../errors.ts";
import { datatypes, encodeBytesElements, isDatatype, type Tensor, tensorFromJson } from "../../../tensor/index.ts";
import { fitShape } from "./fit-shape.ts";
import type { InputSpec, InputWord } from "./input-word.ts";

const tensorSchema = z.strictObject({
  datatype: z.string().optional(),
  shape: z.array(z.int().min(0)).max(8).optional(),
  data: z.array(z.unknown()).optional(),
  base64: z.string().optional(),
});

/** An input as a tensor, from what a person wrote of it. @throws USAGE, FILE_UNREADABLE, REQUEST_MALFORMED */
export async function inputFrom(word: InputWord, spec: InputSpec): Promise<Tensor> {
  const json = parseJson(word.value);
  if (json !== undefined) return tensorOf(json, word, spec);
  const file = fileOf(word);
  const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    throw error.code === "ENOENT" && file === word.value ? neither(word, spec) : fileError(file, error);
  });
  if (!file.endsWith(".json")) return rawTensor(bytes, word, spec);
  const content = parseJson(bytes.toString("utf8"));
  if (content === undefined) throw new SignetError("USAGE", `${file}: expected JSON, found something else`);
  return tensorOf(content, word, spec);
}

/** A word in quotes loses them to the shell, and is then no JSON. */
function neither({ name, value }: InputWord, { datatype }: InputSpec): SignetError {
  const quotes = datatype === "BYTES" ? `; text keeps its quotes, as in '${name}="some text"'` : "";
  return new SignetError(
    "USAGE",
    `input ${name}: expected JSON or a file, found ${JSON.stringify(value.slice(0, 64))}, which is neither${quotes}`,
  );
}

/** The file that is meant where an input is one. */
export function fileOf({ value }: InputWord): string {
  return value.startsWith("@") ? value.slice(1) : value;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function tensorOf(json: unknown, { name, shape: given }: InputWord, spec: InputSpec): Tensor {
  const isObject = typeof json === "object" && json !== null && !Array.isArray(json);
  const said = tensorSchema.safeParse(isObject ? json : { data: Array.isArray(json) ? json : [json] });
  if (!said.success || (said.data.data === undefined) === (said.data.base64 === undefined)) {
    const [issue] = said.error?.issues ?? [];
    const where = issue === undefined || issue.path.length === 0 ? "" : `${issue.path.join(".")}: `;
    const found = issue === undefined ? "both or none" : `${where}${issue.message}`;
    throw new SignetError(
      "USAGE",
      `input ${name}: expected data, or an object with either "data" or "base64", found ${found}`,
    );
  }
  const { datatype = spec.datatype, data, base64 } = said.data;
  const wanted = { ...spec, datatype };
  const shape = given ?? said.data.shape;
  if (base64 !== undefined && shape === undefined)
    return rawTensor(Buffer.from(base64, "base64"), { shape: null }, wanted);
  const fitted = shape ?? nestedShape(data!) ?? fitShape(spec, data!.length);
  return tensorFromJson({ name, datatype, shape: fitted, data, base64 });
}

/** How deep arrays lie in one another, and how long they are; undefined for a flat one, whose shape is the service's. */
function nestedShape(data: readonly unknown[]): number[] | undefined {
  const shape: number[] = [];
  for (let level: unknown = data; Array.isArray(level); level = level[0]) shape.push(level.length);
  return shape.length > 1 ? shape : undefined;
}

function rawTensor(bytes: Uint8Array, { shape }: Pick<InputWord, "shape">, spec: InputSpec): Tensor {
  const { name, datatype } = spec;
  if (!isDatatype(datatype))
    throw new SignetError("USAGE", `input ${name}: ${datatype} is no datatype of the protocol`);
  const size = datatypes[datatype].bytes;
  if (size === null) {
    return { name, datatype, shape: shape ?? fitShape(spec, 1), data: encodeBytesElements([bytes]) };
  }
  return { name, datatype, shape: shape ?? fitShape(spec, bytes.byteLength / size), data: bytes };
}
