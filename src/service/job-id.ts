import { randomFillSync } from "node:crypto";

const ID_BYTES = 16;
const pool = Buffer.alloc(ID_BYTES * 128);
let used = pool.length;

/** A name for a job that no other has: 128 random bits in hex. Made of a pool, since every call needs one. */
export function newJobId(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += ID_BYTES;
  return pool.toString("hex", used - ID_BYTES, used);
}
