import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import { envelopeKinds } from "./envelope.ts";
import { createHostKey, type HostKey } from "./host-key.ts";
import { createDeactivationReceipt, parseDeactivationReceipt } from "./receipt.ts";
import type { DeactivationReceipt } from "./schema.ts";
import { signEnvelope } from "./sign.ts";
import { formatJson } from "./strict-json.ts";

const attack = attacksOn("the vendor's desk");

const directory = mkdtempSync(join(tmpdir(), "signet-receipt-"));
const licenseId = randomUUID();
const ledger = { sequence: 7, mac: "AAAA", licenseId, totals: { demo: { runs: 3, runTimeMs: 40 } } };
const invalid = expect.objectContaining({ code: "RECEIPT_INVALID" });
let hostKey: HostKey;

beforeAll(async () => {
  hostKey = await createHostKey(directory);
});
afterAll(() => rmSync(directory, { recursive: true }));

const create = () => Buffer.from(createDeactivationReceipt({ hostKey, licenseId, sequence: 2, ledger }));

function signed(receipt: object, kind = envelopeKinds.receipt as object): Buffer {
  const payload = Buffer.from(formatJson(receipt as DeactivationReceipt));
  return Buffer.from(signEnvelope({ kind: { ...envelopeKinds.receipt, ...kind }, payload, key: hostKey.signing }));
}

test("a receipt says which license was given back, by which host, and what was used", () => {
  expect(parseDeactivationReceipt(create())).toMatchObject({
    licenseId,
    sequence: 2,
    signingKey: hostKey.signingPublic.toString("base64"),
    ledger,
  });
});

test("one changed bit anywhere is noticed", attack("edits a deactivation receipt", "one bit of every byte"), () => {
  const file = create();
  for (const [index] of file.entries()) {
    const changed = Buffer.from(file);
    changed[index]! ^= 1 << (index % 8);
    expect(() => parseDeactivationReceipt(changed), `byte ${index}`).toThrow(invalid);
  }
});

test(
  "another key's signature, another license's totals and an unknown field are refused",
  attack("makes a receipt for another license", "another key, other totals, an unknown field"),
  async () => {
    const receipt = parseDeactivationReceipt(create());
    const other = await createHostKey(join(directory, "other"));
    expect(() => parseDeactivationReceipt(signed(receipt))).not.toThrow();
    const signingKey = other.signingPublic.toString("base64");
    expect(() => parseDeactivationReceipt(signed({ ...receipt, signingKey }))).toThrow(invalid);
    const others = { ...receipt, ledger: { ...ledger, licenseId: randomUUID() } };
    expect(() => parseDeactivationReceipt(signed(others))).toThrow(invalid);
    expect(() => parseDeactivationReceipt(signed({ ...receipt, extra: 1 }))).toThrow(invalid);
  },
);

test(
  "a host's request is no receipt, though the same key signed it",
  attack("replays a request as a receipt", "payload type confusion"),
  () => {
    const { payloadType } = envelopeKinds.request;
    expect(() => parseDeactivationReceipt(signed(parseDeactivationReceipt(create()), { payloadType }))).toThrow(
      invalid,
    );
  },
);
