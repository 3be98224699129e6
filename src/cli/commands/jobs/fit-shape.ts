import { SignetError } from "../../../errors.ts";
import type { InputSpec } from "./input-word.ts";

/**
 * The shape of so many elements in an input whose shape is open in one place at most.
 * @throws USAGE where it is open in several, or they do not fit
 */
export function fitShape({ name, shape }: InputSpec, elements: number): number[] {
  const known = shape.filter((dimension) => dimension >= 0).reduce((product, dimension) => product * dimension, 1);
  const open = shape.length - shape.filter((dimension) => dimension >= 0).length;
  if (open > 1) {
    const example = shape.map((dimension) => (dimension < 0 ? 1 : dimension));
    throw new SignetError(
      "USAGE",
      `input ${name}: its shape [${shape}] is open in several places; say which, as in '${name}[${example}]=…'`,
    );
  }
  const size = open === 0 ? known : elements / known;
  if (open === 0 ? elements !== known : !Number.isInteger(size)) {
    throw new SignetError("USAGE", `input ${name}: expected elements for shape [${shape}], found ${elements}`);
  }
  return shape.map((dimension) => (dimension < 0 ? size : dimension));
}
