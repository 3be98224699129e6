import { randomUUID } from "node:crypto";
import { SignetError } from "../errors.ts";
import { parseDocument } from "./document.ts";
import { envelopeKinds, parseEnvelope } from "./envelope.ts";
import type { HostKey } from "./host-key.ts";
import { importEd25519 } from "./request.ts";
import { type DeactivationReceipt, deactivationReceiptSchema, type LedgerHead, PRODUCT } from "./schema.ts";
import { isSignedBy, signEnvelope } from "./sign.ts";
import { formatJson } from "./strict-json.ts";

/**
 * The receipt of a license that this host has given back, as PEM text.
 *
 * @param given `ledger` is the head right after the record that ended the license, with the license's totals
 */
export function createDeactivationReceipt(given: {
  hostKey: HostKey;
  licenseId: string;
  sequence: number;
  ledger: LedgerHead;
  now?: Date;
}): string {
  const { hostKey, licenseId, sequence, ledger, now = new Date() } = given;
  const receipt: DeactivationReceipt = {
    v: 1,
    product: PRODUCT,
    receiptId: randomUUID(),
    createdAt: now.toISOString(),
    licenseId,
    sequence,
    signingKey: hostKey.signingPublic.toString("base64"),
    ledger,
  };
  return signEnvelope({
    kind: envelopeKinds.receipt,
    payload: Buffer.from(formatJson(receipt)),
    key: hostKey.signing,
  });
}

/**
 * Reads a receipt and verifies that the host key inside it signed it. Whether that is the key of the host which the
 * license was issued for, only the vendor's register knows.
 *
 * @throws RECEIPT_INVALID
 */
export function parseDeactivationReceipt(file: Uint8Array): DeactivationReceipt {
  const envelope = parseEnvelope(file, envelopeKinds.receipt);
  const receipt = parseDocument(deactivationReceiptSchema, envelope.payload, {
    what: "deactivation receipt",
    code: "RECEIPT_INVALID",
  });
  const invalid = (reason: string) => new SignetError("RECEIPT_INVALID", `deactivation receipt: ${reason}`);
  const key = importEd25519(Buffer.from(receipt.signingKey, "base64"));
  if (key === undefined) throw invalid("signingKey: expected an Ed25519 key");
  if (!isSignedBy(envelope, key)) throw invalid("expected a signature by the host key inside, found another");
  if (receipt.ledger.licenseId !== receipt.licenseId) throw invalid("ledger: expected the totals of the same license");
  return receipt;
}
