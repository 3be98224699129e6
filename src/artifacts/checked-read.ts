import { createHash } from "node:crypto";
import { type Readable, Transform } from "node:stream";
import { SignetError } from "../errors.ts";

/** What must come out of a store. */
export interface ExpectedBytes {
  readonly sha256: string;
  readonly bytes: number;
  /** Not all of it, so that its digest says nothing. */
  readonly isRange: boolean;
}

/**
 * The same bytes, which fail at their end where they are not those that were put: a disk may rot, and a bucket have
 * other writers. Whoever stops reading early ends the source.
 * @param inWords what the source fails with, as an error of ours
 */
export function checkedRead(source: Readable, expected: ExpectedBytes, inWords: (thrown: unknown) => Error): Readable {
  const { sha256, bytes, isRange } = expected;
  const hash = createHash("sha256");
  let found = 0;
  const checked = new Transform({
    transform(piece: Uint8Array, _, done) {
      found += piece.byteLength;
      if (!isRange) hash.update(piece);
      done(null, piece);
    },
    flush(done) {
      const isSame = found === bytes && (isRange || hash.digest("hex") === sha256);
      done(isSame ? null : new SignetError("STORE_UNUSABLE", `artifact ${sha256}: expected its bytes, found others`));
    },
  });
  source.on("error", (thrown) => checked.destroy(inWords(thrown)));
  checked.on("close", () => source.destroy());
  return source.pipe(checked);
}
