import type { KeyObject } from "node:crypto";
import { z } from "zod";
import { MAC_BYTES, openLine, sealLine, splitLine } from "./chain.ts";

/** What the lines of the journal say; how they hold together is in chain.ts. */

const count = z.int().nonnegative();

/** s sequence, t wall clock in ms, m monotonic clock in ms, b the boot that m belongs to. */
const stamp = { s: count, t: z.int(), m: count, b: z.string().max(16) };
/** l license id, v service. */
const account = { l: z.string().min(1).max(128), v: z.string().min(1).max(128) };
/** r runs moved from leased to settled, d run time settled in ms, f runs in flight at that moment. */
const settlement = { r: count, d: count, f: count };

const keyId = z.string().regex(/^[0-9a-f]{64}$/);
/** Of the lists that vendor `r` has signed with the key `i`, none below number `n` is enough any more. */
const revocations = { r: keyId, i: keyId, n: count };

const suspectSchema = z.strictObject({ t: z.int(), m: count, b: z.string().max(16) });

const ledgerRecordSchema = z.discriminatedUnion("k", [
  /** The first record of a ledger; `id` tells it from any other made with the same key. */
  z.strictObject({ ...stamp, k: z.literal("genesis"), id: z.string().regex(/^[0-9a-f]{32}$/) }),
  /** A server opened the ledger; `cut` bytes of a torn write and `anchors` unusable anchors were found. */
  z.strictObject({ ...stamp, k: z.literal("boot"), cut: count, anchors: count }),
  /** License `l` was used with sequence `q`: from now on nothing lower is accepted. */
  z.strictObject({ ...stamp, k: z.literal("license"), l: account.l, q: count }),
  /** License `l` was given back: from now on no sequence of it is accepted. */
  z.strictObject({ ...stamp, k: z.literal("deactivate"), l: account.l }),
  /** A revocation list was honored. */
  z.strictObject({ ...stamp, k: z.literal("revocations"), ...revocations }),
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
    deactivated: z.array(account.l),
    revocations: z.array(z.strictObject(revocations)),
    accounts: z.array(z.strictObject({ ...account, runs: count, runTimeMs: count, leased: count, c: count, f: count })),
  }),
]);

export type LedgerRecord = z.infer<typeof ledgerRecordSchema>;
type WithoutStamp<R> = R extends unknown ? Omit<R, keyof typeof stamp> : never;
/** A record before it is given its place in the chain. */
export type LedgerEntry = WithoutStamp<LedgerRecord>;

/** The bytes of one journal line and the MAC that the next one continues. */
export function sealRecord(key: KeyObject, previous: Uint8Array, record: LedgerRecord): { line: Buffer; mac: Buffer } {
  return sealLine(key, previous, record);
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
  const claimed = splitLine(line);
  if (claimed === null) return null;
  let record: LedgerRecord | undefined;
  let continues = previous;
  if (continues === null) {
    record = parseRecord(claimed.json);
    if (record?.k === "genesis") continues = Buffer.alloc(MAC_BYTES);
    else if (record?.k === "snapshot") continues = Buffer.from(record.p, "base64");
    else return null;
  }
  const mac = openLine(key, continues, claimed);
  if (mac === null) return null;
  record ??= parseRecord(claimed.json);
  return record ? { record, mac } : null;
}

function parseRecord(json: Buffer): LedgerRecord | undefined {
  try {
    return ledgerRecordSchema.safeParse(JSON.parse(json.toString("utf8"))).data;
  } catch {
    return undefined;
  }
}
