/** What a person writes of one input: `NAME=VALUE` or `NAME[1,3]=VALUE`. */
export interface InputWord {
  readonly name: string;
  /** null where it is to be found out. */
  readonly shape: readonly number[] | null;
  readonly value: string;
}

/** null for what is no such word. */
export function parseInputWord(text: string): InputWord | null {
  const match = /^([^=]+?)(?:\[([0-9]{1,15}(?:,[0-9]{1,15}){0,7})\])?=(.*)$/s.exec(text);
  if (match === null) return null;
  const [, name, shape, value] = match;
  return { name: name!, shape: shape === undefined ? null : shape.split(",").map(Number), value: value! };
}

/** What a service says of an input. Its datatype is one of the protocol's, if the server is not newer. */
export interface InputSpec {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
}
