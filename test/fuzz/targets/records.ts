import { createHash, createSecretKey, sign } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { parseAuditRecord, recordFromEntry } from "../../../src/audit/audit-record.ts";
import { keyIdOf } from "../../../src/license/certificates.ts";
import { MAC_BYTES } from "../../../src/license/chain.ts";
import { preAuthEncoding } from "../../../src/license/envelope.ts";
import { AnchorFile, readAnchor } from "../../../src/license/ledger-anchor.ts";
import { readJournal } from "../../../src/license/ledger-journal.ts";
import { type LedgerRecord, openRecord, sealRecord } from "../../../src/license/ledger-record.ts";
import { payloadTypes } from "../../../src/license/schema.ts";
import { readRegister } from "../../../tools/license/register.ts";
import { mutateBytes } from "../mutate.ts";
import { mutateJson, mutateJsonLines } from "../mutate-json.ts";
import { hold, type Target } from "../target.ts";
import { createDesk, licenseId, requestId } from "./desk.ts";
import { createScratch } from "./scratch.ts";

const key = createSecretKey(Buffer.alloc(32, 3));
const stamp = { t: 1_800_000_000_000, m: 5000, b: "boot" };
const account = { l: licenseId, v: "demo" };
const settled = { r: 1, d: 20, f: 0 };
const id = "ab".repeat(16);
const keyId = "cd".repeat(32);
const records = [
  { k: "genesis", id },
  { k: "boot", cut: 0, anchors: 0 },
  { k: "license", l: licenseId, q: 3 },
  { k: "lease", ...account, ...settled, n: 10, c: 2 },
  { k: "settle", ...account, ...settled, x: 2 },
  { k: "forfeit", ...account, n: 1, d: 5 },
  { k: "clock", d: -3000 },
  { k: "revocations", r: keyId, i: keyId, n: 2 },
  { k: "deactivate", l: licenseId },
  { k: "close" },
].map((record, s) => ({ s, ...stamp, ...record }));

/** A ledger of any records, chained anew after every change, as only the host's key can. */
export function ledgerJournal(): Target {
  const scratch = createScratch();
  const path = scratch.path("journal.jsonl");
  return {
    codes: ["LEDGER_TAMPERED", "LEDGER_ROLLED_BACK"],
    starts: [
      textOf(records),
      textOf([
        {
          ...{ s: 40, ...stamp, k: "snapshot", id, p: Buffer.alloc(MAC_BYTES, 1).toString("base64"), high: stamp.t },
          ...{ suspect: { t: stamp.t, m: 1, b: "boot" }, ratchets: { [licenseId]: 3 }, deactivated: [licenseId] },
          revocations: [{ r: keyId, i: keyId, n: 2 }],
          accounts: [{ ...account, runs: 5, runTimeMs: 100, leased: 4, c: 2, f: 1 }],
        },
        { s: 41, ...stamp, k: "boot", cut: 0, anchors: 0 },
      ]),
    ],
    mutate: mutateJsonLines,
    maxBytes: 4096,
    run(input) {
      writeFileSync(path, chained(input.toString().split("\n")));
      const reading = readJournal(path, key, []);
      if (reading === "missing") return "missing";
      const { state } = reading;
      hold(Number.isSafeInteger(state.sequence), "a sequence is a safe integer");
      hold(Number.isSafeInteger(state.highestSequence(licenseId)), "so is what is remembered of a license");
      state.isDeactivated(licenseId);
      return `accepted ${reading.tornBytes > 0 ? "with a torn end" : "whole"}`;
    },
    close: scratch.remove,
  };
}

/** One line of the ledger as bytes; only what the key has sealed is a record. */
export function ledgerLine(): Target {
  const zero = Buffer.alloc(MAC_BYTES);
  const lines = [records[0], records[3]].map((record) => sealRecord(key, zero, record as LedgerRecord).line);
  const sealed = new Set(lines.map((line) => line.subarray(0, -1).toString("latin1")));
  return {
    codes: [],
    starts: lines.map((line) => line.subarray(0, -1)),
    mutate: mutateBytes,
    maxBytes: 1024,
    run(input) {
      const opened = openRecord(key, zero, input);
      openRecord(key, null, input);
      hold(opened === null || sealed.has(input.toString("latin1")), "only a sealed line is a record");
      return opened === null ? "refused" : "accepted";
    },
  };
}

/** An anchor's file as bytes: what is not as it was written is broken, whatever it says. */
export function ledgerAnchor(): Target {
  const scratch = createScratch();
  const path = scratch.path("anchor.json");
  const anchor = { id, sequence: 5, mac: Buffer.alloc(MAC_BYTES, 1).toString("base64"), highWaterMs: stamp.t };
  const file = new AnchorFile(path, key, "missing", anchor);
  file.write({ ...anchor, sequence: 6 });
  file.close();
  const written = readFileSync(path);
  return {
    codes: [],
    starts: [written],
    mutate: mutateBytes,
    maxBytes: 2048,
    run(input) {
      writeFileSync(path, input);
      const reading = readAnchor(path, key);
      if (typeof reading === "string") return reading;
      hold([5, 6].includes(reading.anchor.sequence), "an anchor says what was written");
      return "accepted";
    },
    close: scratch.remove,
  };
}

/** What a line of the audit log says. */
export function auditRecord(): Target {
  const detail = { peer: "127.0.0.1:5", runs: 3, isOldHost: true, none: null, names: ["a"], counts: [1, 2] };
  const record = recordFromEntry({ event: "call.refused", code: "X", detail }, 4, new Date(stamp.t), "server");
  return {
    codes: [],
    starts: [Buffer.from(JSON.stringify(record))],
    mutate: mutateJson,
    maxBytes: 1024,
    run(input) {
      const read = parseAuditRecord(input);
      if (read === undefined) return "refused";
      const again = parseAuditRecord(Buffer.from(JSON.stringify(read)));
      hold(JSON.stringify(again) === JSON.stringify(read), "a record is written the same way again");
      return `accepted ${read.event}`;
    },
  };
}

/** The vendor's register, every line signed and linked anew after every change. */
export function register(): Target {
  const { vendor } = createDesk();
  const scratch = createScratch();
  const path = scratch.path("register.jsonl");
  const certificates = { vendor: { name: "ACME" }, root: vendor.root.certificate, issuer: vendor.issuer.certificate };
  const at = "2026-03-01T12:00:00Z";
  const limits = { runs: 100, runTimeMs: null, jobTimeMs: 1000, concurrency: 2, notBefore: null, expires: null };
  const ledger = { sequence: 1, mac: "AAAA", licenseId, totals: { demo: { runs: 1, runTimeMs: 2 } } };
  const issued = {
    ...{ event: "issued", licenseId, sequence: 1, kind: "full", customer: "Factory", requestId, hostKeyId: keyId },
    ...{ expires: "2027-03-01T12:00:00Z", services: { demo: limits }, ledger, rollbackAccepted: null },
    movedFrom: { licenseId, hostKeyId: keyId, ledger },
  };
  const withdrawn = { event: "withdrawn", number: 1, licenses: [licenseId], issuers: [keyId], reason: null };
  const rotated = { event: "rotated", issuerKeyId: keyId, expires: at };
  const lines = [issued, withdrawn, rotated].map((entry, index) => ({
    ...entry,
    ...{ line: index + 1, at, previous: "@previous" },
  }));
  const signLines = (texts: readonly string[]): string => {
    let previous = "0".repeat(64);
    return texts
      .map((text) => {
        const json = text.replaceAll("@previous", previous);
        const signature = sign(null, preAuthEncoding(payloadTypes.register, Buffer.from(json)), vendor.issuer.key);
        const line = `${json}\t${keyIdOf(vendor.issuer.certificate.publicKey)}\t${signature.toString("base64")}`;
        previous = createHash("sha256").update(line).digest("hex");
        return `${line}\n`;
      })
      .join("");
  };
  return {
    codes: ["REGISTER_TAMPERED"],
    starts: [textOf(lines)],
    mutate: mutateJsonLines,
    maxBytes: 4096,
    async run(input) {
      const texts = input.toString().split("\n");
      writeFileSync(path, signLines(texts));
      const read = await readRegister(dirname(path), { ...certificates, issuers: [certificates.issuer] } as never);
      hold(read.lines.length === texts.length, "every line is read");
      return "accepted";
    },
    close: scratch.remove,
  };
}

function textOf(values: readonly unknown[]): Buffer {
  return Buffer.from(values.map((value) => JSON.stringify(value)).join("\n"));
}

/** A line that is no JSON stands as it is, for a torn write. */
function chained(lines: readonly string[]): Buffer {
  let previous: Buffer = Buffer.alloc(MAC_BYTES);
  return Buffer.concat(
    lines.map((line, index) => {
      try {
        const record = JSON.parse(line) as LedgerRecord;
        if (index === 0 && record.k === "snapshot") previous = Buffer.from(record.p, "base64");
        const sealed = sealRecord(key, previous, record);
        previous = sealed.mac;
        return sealed.line;
      } catch {
        return Buffer.from(line);
      }
    }),
  );
}
