import { isDeepStrictEqual } from "node:util";
import { type EnvelopeKind, envelopeKinds } from "../../../src/license/envelope.ts";
import { parseDeactivationReceipt } from "../../../src/license/receipt.ts";
import { parseHostRequest } from "../../../src/license/request.ts";
import { parseRevocationList } from "../../../src/license/revocation.ts";
import { signEnvelope } from "../../../src/license/sign.ts";
import type { Authority } from "../../../src/license/vendor.fixture.ts";
import { mutateBytes } from "../mutate.ts";
import { mutateJson } from "../mutate-json.ts";
import { hold, type Target } from "../target.ts";
import { createDesk, type Desk, licenseId, requestId } from "./desk.ts";

const salt = Buffer.alloc(32, 7).toString("base64");
const mac = Buffer.alloc(32, 9).toString("base64");
const ledger = { sequence: 12, mac, licenseId, totals: { demo: { runs: 5, runTimeMs: 1200 } } };

const request = {
  v: 1,
  product: "signet",
  requestId,
  createdAt: "2026-03-01T12:00:00Z",
  host: {
    signingKey: "@signingKey",
    wrappingKey: "@wrappingKey",
    salt,
    platform: "vm",
    components: [{ type: "cpu", weight: 1, hash: "AAAA" }],
    weak: true,
    os: "Debian",
    arch: "x64",
  },
  ledger,
};

const receipt = {
  v: 1,
  product: "signet",
  receiptId: requestId,
  createdAt: "2026-03-01T12:00:00Z",
  licenseId,
  sequence: 3,
  signingKey: "@signingKey",
  ledger,
};

const revocationList = {
  v: 1,
  product: "signet",
  number: 4,
  issuedAt: "2026-03-01T12:00:00Z",
  licenses: [licenseId],
  issuers: ["ab".repeat(32)],
};

/** host.req as bytes. */
export function requestFile(): Target {
  const desk = createDesk();
  const text = withKeys(JSON.stringify(request), desk);
  return {
    codes: ["REQUEST_INVALID"],
    starts: [signed(envelopeKinds.request, text, hostOf(desk))],
    mutate: mutateBytes,
    isWhole: true,
    maxBytes: 4096,
    run(input) {
      hold(isDeepStrictEqual(parseHostRequest(input), JSON.parse(text)), "an accepted request says what was signed");
      return "accepted";
    },
  };
}

/** What host.req says, signed anew after every change. */
export function requestPayload(): Target {
  const desk = createDesk();
  const { ledger: _, ...first } = request;
  return payloadTarget(desk, [request, first], {
    codes: ["REQUEST_INVALID"],
    read: (text) => parseHostRequest(signed(envelopeKinds.request, text, hostOf(desk))),
  });
}

/** What a deactivation receipt says, signed anew after every change. */
export function receiptPayload(): Target {
  const desk = createDesk();
  return payloadTarget(desk, [receipt], {
    codes: ["RECEIPT_INVALID"],
    read: (text) => parseDeactivationReceipt(signed(envelopeKinds.receipt, text, hostOf(desk))),
  });
}

/** What a revocation list says, signed anew by the root and by an issuer. */
export function revocationPayload(): Target {
  const desk = createDesk();
  const { root, issuer, trustRoot } = desk.vendor;
  const read = (text: string, signer: Authority, certificates: Authority[]) => {
    const file = signed(envelopeKinds.revocation, text, signer, certificates);
    const { rootKeyId, signerKeyId: _, ...list } = parseRevocationList(file, [trustRoot]);
    hold(rootKeyId === trustRoot.keyId, "a list is of the vendor who signed it");
    return list;
  };
  return payloadTarget(desk, [revocationList, { ...revocationList, issuers: [] }], {
    codes: ["REVOCATION_LIST_INVALID"],
    read(text) {
      const list = read(text, root, []);
      // What the issuer may say is less, so it comes second: what it refuses is refused by a code as well.
      hold(isDeepStrictEqual(read(text, issuer, [issuer]), list), "issuer and root say the same with the same words");
      return list;
    },
  });
}

function payloadTarget(
  desk: Desk,
  starts: readonly unknown[],
  reader: { codes: Target["codes"]; read(text: string): unknown },
): Target {
  return {
    codes: reader.codes,
    starts: starts.map((start) => Buffer.from(JSON.stringify(start))),
    mutate: mutateJson,
    maxBytes: 4096,
    run(input) {
      const text = withKeys(input.toString(), desk);
      const read = reader.read(text);
      hold(isDeepStrictEqual(read, JSON.parse(text)), "an accepted document says what was signed");
      return "accepted";
    },
  };
}

interface Signer {
  readonly key: Authority["key"];
}

function hostOf(desk: Desk): Signer {
  return { key: desk.hostKey.signing };
}

function signed(kind: EnvelopeKind, text: string, { key }: Signer, certificates: Authority[] = []): Buffer {
  const chain = certificates.map(({ certificate }) => certificate);
  return Buffer.from(signEnvelope({ kind, payload: Buffer.from(text), key, certificates: chain }));
}

function withKeys(text: string, { hostKey }: Desk): string {
  return text
    .replaceAll("@signingKey", hostKey.signingPublic.toString("base64"))
    .replaceAll("@wrappingKey", hostKey.wrappingPublic.toString("base64"));
}
