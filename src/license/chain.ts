import { createHmac, type KeyObject } from "node:crypto";

/**
 * A hash chain of lines, which the ledger and the audit log are both made of:
 * `JSON TAB base64(HMAC-SHA-256(key, previous mac ‖ JSON)) LF`. Because every MAC covers the one before it, no line
 * can be changed, dropped, added or moved without the key. A chain begins with a MAC of zeros.
 */

export const MAC_BYTES = 32;
const MAC_TEXT = 44;
const TAB = 0x09;

/** What a line says it is; nothing of it has been checked yet. */
export interface ClaimedLine {
  readonly json: Buffer;
  /** Base64 as it stands, so that no second spelling of the same MAC passes for it. */
  readonly mac: string;
}

function chainMac(key: KeyObject, previous: Uint8Array, json: Uint8Array): Buffer {
  return createHmac("sha256", key).update(previous).update(json).digest();
}

/** The bytes of one line and the MAC that the next one continues. */
export function sealLine(key: KeyObject, previous: Uint8Array, value: unknown): { line: Buffer; mac: Buffer } {
  const json = Buffer.from(JSON.stringify(value));
  const mac = chainMac(key, previous, json);
  return { line: Buffer.concat([json, Buffer.from(`\t${mac.toString("base64")}\n`)]), mac };
}

/** Takes a line without its LF apart; null where it has not the form of one. */
export function splitLine(line: Buffer): ClaimedLine | null {
  const end = line.length - MAC_TEXT - 1;
  if (end < 2 || line[end] !== TAB) return null;
  return { json: line.subarray(0, end), mac: line.toString("latin1", end + 1) };
}

/** The line's MAC where it continues `previous`, else null. Whoever can time the comparison has the file. */
export function openLine(key: KeyObject, previous: Uint8Array, { json, mac }: ClaimedLine): Buffer | null {
  const computed = chainMac(key, previous, json);
  return computed.toString("base64") === mac ? computed : null;
}
