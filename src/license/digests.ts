import { createHash, timingSafeEqual } from "node:crypto";
import type { Digests } from "./schema.ts";

/** Size, MD5 and SHA-256 of bytes. SHA-256 decides; MD5 is named by the specification and is checked as well. */
export function digestsOf(bytes: Uint8Array): Digests {
  return {
    size: bytes.length,
    md5: createHash("md5").update(bytes).digest("hex"),
    sha256: createHash("sha256").update(bytes).digest("hex"),
  };
}

/** All three are compared, so that a collision in one of them is not enough. */
export function sameDigests(a: Digests, b: Digests): boolean {
  return a.size === b.size && sameText(a.md5, b.md5) && sameText(a.sha256, b.sha256);
}

function sameText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
