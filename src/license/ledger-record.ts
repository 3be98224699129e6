import { createHmac, type KeyObject } from "node:crypto";
import { z } from "zod";

/**
 * One line of the journal: `JSON TAB base64(HMAC-SHA-256(key, previous mac ‖ JSON)) LF`. Because every MAC covers
 * the one before it, no line can be changed, dropped, added or moved without the key.
 */

const count = z.int().nonnegative();

/** s sequence, t wall clock in ms, m monotonic clock in ms, b the boot that m belongs to. */
const stamp = { s: count, t: z.int(), m: count, b: z.string().max(16) };
/** l license id, v service. */
const account = { l: z.string().min(1).max(128), v: z.string().min(1).max(128) };
/** r runs moved from leased to settled, d run time settled in ms, f runs in flight at that moment. */
const settlement = { r: count, d: count, f: count };

const suspectSchema = z.strictObject({ t: z.int(), m: count, b: z.string().max(16) });

const ledgerRecordSchema = z.discriminatedUnion("k", [
  /** The first record of a ledger; `id` tells it from any other made with the same key. */
  z.strictObject({ ...stamp, k: z.literal("genesis"), id: z.string().regex(/^[0-9a-f]{32}$/) }),
  /** A server opened the ledger; `cut` bytes of a torn write and `anchors` unusable anchors were found. */
  z.strictObject({ ...stamp, k: z.literal("boot"), cut: count, anchors: count }),
  /** License `l` was used with sequence `q`: from now on nothing lower is accepted. */
  z.strictObject({ ...stamp, k: z.literal("license"), l: account.l, q: count }),
  /** After a settlement, `n` runs are debited in advance; at most `c` of them run at the same time. */
  z.strictObject({ ...stamp, k: z.literal("lease"), ...account, ...settlement, n: count, c: count }),
  /** A settlement; `x` leased runs that were not used are given back. */
  z.strictObject({ ...stamp, k: z.literal("settle"), ...account, ...settlement, x: count }),
  /** What a server that ended without closing had leased and not settled: `n` runs and `d` ms are charged. */
  z.strictObject({ ...stamp, k: z.literal("forfeit"), ...account, n: count, d: count }),
  /** The wall clock moved by `d` ms against the monotonic clock while the server ran. */
  z.strictObject({ ...stamp, k: z.literal("clock"), d: z.int() }),
  /** The server closed the ledger; nothing is in flight. */
  z.strictObject({ ...stamp, k: z.literal("close") }),
  /** The first record of every later segment: all that the segments before it say. `p` is the MAC it continues. */
  z.strictObject({
    ...stamp,
    k: z.literal("snapshot"),
    id: z.string().regex(/^[0-9a-f]{32}$/),
    p: z.base64().length(44),
    high: z.int(),
    suspect: suspectSchema.nullable(),
    ratchets: z.record(z.string(), count),
    accounts: z.array(z.strictObject({ ...account, runs: count, runTimeMs: count, leased: count, c: count, f: count })),
  }),
]);

export type LedgerRecord = z.infer<typeof ledgerRecordSchema>;
type WithoutStamp<R> = R extends unknown ? Omit<R, keyof typeof stamp> : never;
/** A record before it is given its place in the chain. */
export type LedgerEntry = WithoutStamp<LedgerRecord>;

export const MAC_BYTES = 32;
const MAC_TEXT = 44;
const TAB = 0x09;

function chainMac(key: KeyObject, previous: Uint8Array, line: Uint8Array): Buffer {
  return createHmac("sha256", key).update(previous).update(line).digest();
}

/** The bytes of one journal line and the MAC that the next one continues. */
export function sealRecord(key: KeyObject, previous: Uint8Array, record: LedgerRecord): { line: Buffer; mac: Buffer } {
  const json = Buffer.from(JSON.stringify(record));
  const mac = chainMac(key, previous, json);
  return { line: Buffer.concat([json, Buffer.from(`\t${mac.toString("base64")}\n`)]), mac };
}

/**
 * Reads one line (without its LF) that must continue `previous`. Null when it does not, whatever the reason;
 * nothing in it is believed before its MAC has been checked. `previous` is null for the first line of a segment,
 * which must be a genesis or say itself which MAC it continues: that it does is then the anchors' business.
 */
export function openRecord(
  key: KeyObject,
  previous: Uint8Array | null,
  line: Buffer,
): { record: LedgerRecord; mac: Buffer } | null {
  const end = line.length - MAC_TEXT - 1;
  if (end < 2 || line[end] !== TAB) return null;
  const json = line.subarray(0, end);
  const claimed = line.toString("latin1", end + 1);
  let record: LedgerRecord | undefined;
  let continues = previous;
  if (continues === null) {
    record = parseRecord(json);
    if (record?.k === "genesis") continues = Buffer.alloc(MAC_BYTES);
    else if (record?.k === "snapshot") continues = Buffer.from(record.p, "base64");
    else return null;
  }
  // Compared as text, so that no second spelling of the same base64 passes. Whoever can time this has the file.
  const mac = chainMac(key, continues, json);
  if (mac.toString("base64") !== claimed) return null;
  record ??= parseRecord(json);
  return record ? { record, mac } : null;
}

function parseRecord(json: Buffer): LedgerRecord | undefined {
  try {
    return ledgerRecordSchema.safeParse(JSON.parse(json.toString("utf8"))).data;
  } catch {
    return undefined;
  }
}
