import type { Random } from "../helpers/seeded-random.ts";
import { type MutationSource, type Mutator, mostly, mutateBytes } from "./mutate.ts";

/** One field of a binary format in which fields lie inside fields. */
export interface Field {
  /** What stands before the length: a tag. */
  head: number;
  value: Buffer | Field[];
}

/** How such a format lays its fields out. */
export interface FieldFormat {
  /** The fields, each as deep as it can be read; undefined where the bytes are none. */
  parse(bytes: Buffer): Field[] | undefined;
  /** `lie` may change a length on its way into the bytes. */
  format(fields: readonly Field[], lie: (length: number) => number): Buffer;
}

/** Repeats, drops, moves and changes fields, with all lengths right, or now and then one that is not. */
export function mutateFields(format: FieldFormat): Mutator {
  return mostly((input, source) => {
    const { random } = source;
    const fields = format.parse(input);
    if (fields === undefined) return mutateBytes(input, source);
    for (let left = 1 + random.below(3); left > 0; left--) change(fields, format, source);
    const isHonest = random.below(8) > 0;
    const lie = (length: number) => (isHonest || random.below(4) > 0 ? length : wrongLength(length, random));
    return format.format(fields, lie);
  });
}

function wrongLength(length: number, random: Random): number {
  return random.pick([0, length + 1, Math.max(0, length - 1), 127, 128, 0x7fffffff, 0xffffffff]);
}

/** Every list of fields in the tree. */
function listsOf(fields: Field[], lists: Field[][] = []): Field[][] {
  lists.push(fields);
  for (const { value } of fields) if (Array.isArray(value)) listsOf(value, lists);
  return lists;
}

function change(root: Field[], format: FieldFormat, source: MutationSource): void {
  const { random } = source;
  const lists = listsOf(root);
  const list = random.pick(lists);
  const at = random.below(list.length);
  const field = list[at];
  if (field === undefined) return;
  switch (random.below(7)) {
    case 0:
      list.splice(at, 1);
      break;
    case 1:
      list.splice(random.below(list.length + 1), 0, structuredCopy(field));
      break;
    case 2: {
      const theirs = listsOf(format.parse(source.other()) ?? [])
        .flat()
        .filter(({ head }) => head === field.head || random.below(8) === 0);
      if (theirs.length > 0) list[at] = structuredCopy(random.pick(theirs));
      break;
    }
    case 3:
      random.pick(lists).push(structuredCopy(field));
      break;
    case 4:
      field.head = random.below(2) === 0 ? random.below(128) : field.head ^ (1 << random.below(6));
      break;
    default:
      if (Buffer.isBuffer(field.value)) field.value = mutateBytes(field.value, source);
      else if (random.below(8) === 0) field.value = Buffer.alloc(random.below(4), random.below(256));
      else change(field.value, format, source);
  }
}

function structuredCopy({ head, value }: Field): Field {
  return { head, value: Buffer.isBuffer(value) ? value : value.map(structuredCopy) };
}
