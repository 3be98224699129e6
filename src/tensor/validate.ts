import { SignetError } from "../errors.ts";
import { countBytesElements } from "./bytes-elements.ts";
import { datatypes } from "./datatype.ts";
import { quoteName } from "./quote-name.ts";
import { MAX_RANK, type Tensor, type TensorSpec } from "./tensor.ts";

/**
 * Checks a request's inputs against what the service says of them: names, datatypes, ranks, dimensions, and
 * that the data is exactly as long as the shape says. Native code sees nothing that has not passed here.
 *
 * @returns the inputs in the order of `specs`, which is the order the plugin takes them in.
 * @throws REQUEST_MALFORMED naming the input, what was expected and what was found.
 */
export function validateInputs(inputs: readonly Tensor[], specs: readonly TensorSpec[]): Tensor[] {
  return inOrder(inputs, specs, (input, spec) => {
    validateDeclaration(input, spec);
    validateSize(input);
  });
}

/**
 * The same for inputs whose data is not at hand: all but how long it is.
 * @throws REQUEST_MALFORMED
 */
export function validateInputDeclarations<Input extends Omit<Tensor, "data">>(
  inputs: readonly Input[],
  specs: readonly TensorSpec[],
): Input[] {
  return inOrder(inputs, specs, validateDeclaration);
}

function inOrder<Input extends { readonly name: string }>(
  inputs: readonly Input[],
  specs: readonly TensorSpec[],
  validate: (input: Input, spec: TensorSpec) => void,
): Input[] {
  const ordered: (Input | undefined)[] = new Array(specs.length).fill(undefined);
  for (const input of inputs) {
    const index = specs.findIndex((spec) => spec.name === input.name);
    if (index < 0) throw malformed(input, `expected one of ${listNames(specs)}, found another name`);
    if (ordered[index] !== undefined) throw malformed(input, "expected it once, found it twice");
    validate(input, specs[index]!);
    ordered[index] = input;
  }
  return ordered.map((input, index) => {
    if (input === undefined) throw malformed(specs[index]!, "expected it in the request, found it missing");
    return input;
  });
}

/**
 * The outputs that a request names, in its order; all of them when it names none.
 * @throws REQUEST_MALFORMED for a name the service does not have, or one named twice.
 */
export function validateOutputs(names: readonly string[], specs: readonly TensorSpec[]): readonly TensorSpec[] {
  if (names.length === 0) return specs;
  return names.map((name, index) => {
    const spec = specs.find((candidate) => candidate.name === name);
    const where = `output ${quoteName(name)}`;
    if (spec === undefined) {
      throw new SignetError("REQUEST_MALFORMED", `${where}: expected one of ${listNames(specs)}, found another name`);
    }
    if (names.indexOf(name) !== index) {
      throw new SignetError("REQUEST_MALFORMED", `${where}: expected it once, found it twice`);
    }
    return spec;
  });
}

/** What one tensor says of itself, against its spec. The caller has matched the names. @throws REQUEST_MALFORMED */
function validateDeclaration(tensor: Omit<Tensor, "data">, spec: TensorSpec): void {
  if (tensor.datatype !== spec.datatype) {
    throw malformed(tensor, `expected datatype ${spec.datatype}, found ${tensor.datatype}`);
  }
  validateShape(tensor, spec);
}

function validateShape(tensor: Omit<Tensor, "data">, spec: TensorSpec): void {
  const { shape } = tensor;
  const rank = spec.shape.length;
  if (shape.length !== rank || rank > MAX_RANK) {
    throw malformed(
      tensor,
      `expected ${rank === 1 ? "1 dimension" : `${rank} dimensions`} ${formatShape(spec.shape)}, found ${shape.length}`,
    );
  }
  for (let axis = 0; axis < rank; axis++) {
    const size = shape[axis]!;
    const expected = spec.shape[axis]!;
    if (!Number.isSafeInteger(size) || size < 0) {
      throw malformed(tensor, `dimension ${axis}: expected a size of 0 or more, found ${size}`);
    }
    if (expected !== -1 && size !== expected) {
      throw malformed(tensor, `expected shape ${formatShape(spec.shape)}, found ${formatShape(shape)}`);
    }
  }
}

function validateSize(tensor: Tensor): void {
  const count = countElements(tensor);
  const found = tensor.data.byteLength;
  const elementBytes = datatypes[tensor.datatype].bytes;
  if (elementBytes !== null) {
    // Compared as a product of safe integers: were it not exact, it would be far above any real length.
    if (found !== count * elementBytes) {
      const expected = `${count * elementBytes} bytes for ${tensor.datatype} ${formatShape(tensor.shape)}`;
      throw malformed(tensor, `expected ${expected}, found ${found}`);
    }
    if (tensor.datatype === "BOOL") validateBooleans(tensor);
    return;
  }
  let elements: number;
  try {
    elements = countBytesElements(tensor.data);
  } catch (error) {
    throw malformed(tensor, SignetError.from(error).message);
  }
  if (elements !== count) {
    throw malformed(tensor, `expected ${count} BYTES elements for ${formatShape(tensor.shape)}, found ${elements}`);
  }
}

/** To C and C++ a bool that is neither 0 nor 1 is undefined behavior. */
function validateBooleans(tensor: Tensor): void {
  const wrong = tensor.data.find((byte) => byte > 1);
  if (wrong !== undefined) throw malformed(tensor, `expected BOOL bytes of 0 or 1, found ${wrong}`);
}

/**
 * The number of elements. A product too large to be exact is refused even where another dimension is 0,
 * because native code may multiply the dimensions in another order and overflow on the way to 0.
 */
function countElements(tensor: Tensor): number {
  let count = 1;
  let isEmpty = false;
  for (const size of tensor.shape) {
    if (size === 0) isEmpty = true;
    else count *= size;
    if (count > Number.MAX_SAFE_INTEGER) {
      throw malformed(tensor, `expected a shape that can exist, found ${formatShape(tensor.shape)}`);
    }
  }
  return isEmpty ? 0 : count;
}

function malformed(input: { readonly name: string }, problem: string): SignetError {
  return new SignetError("REQUEST_MALFORMED", `input ${quoteName(input.name)}: ${problem}`);
}

function listNames(specs: readonly TensorSpec[]): string {
  return specs.length === 0 ? "no names at all" : specs.map((spec) => quoteName(spec.name)).join(", ");
}

function formatShape(shape: readonly number[]): string {
  return `[${shape.join(",")}]`;
}
