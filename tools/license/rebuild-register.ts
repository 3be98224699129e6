import { inFile, SignetError } from "../../src/errors.ts";
import {
  type DeactivationReceipt,
  type HostRequest,
  type License,
  parseDeactivationReceipt,
  parseHostRequest,
  parseRevocationList,
  parseTrustRoot,
  type SignedRevocationList,
  verifySignedLicense,
} from "../../src/license/index.ts";
import { signedFileKind, type VendorFile } from "./find-vendor-files.ts";
import {
  appendLines,
  type Issued,
  type Register,
  type RegisterEntry,
  readRegister,
  withRegisterLock,
} from "./register.ts";
import { hostKeyIdOf } from "./register-rules.ts";
import type { Signer } from "./signer.ts";
import { readVendorCertificates } from "./vendor-directory.ts";

export interface RebuildInput {
  readonly vendorDirectory: string;
  /** What the vendor still has; each must be genuine. */
  readonly files: readonly VendorFile[];
  /** The highest number that a revocation list ever had, as far as the vendor knows; 0 for none. */
  readonly revocationNumber: number;
  readonly signer: Signer;
  readonly now: Date;
}

export interface Rebuilt {
  readonly register: Register;
  readonly licenses: number;
  /** Licenses whose request is not there: what their hosts' ledgers quoted is not known any more. */
  readonly withoutRequest: number;
  readonly lists: number;
  readonly receipts: number;
}

interface Documents {
  readonly licenses: readonly License[];
  /** By `requestKeyOf`. */
  readonly requests: ReadonlyMap<string, HostRequest>;
  readonly lists: readonly SignedRevocationList[];
  /** Those by which a host gave back a license of its own. */
  readonly receipts: readonly DeactivationReceipt[];
}

/**
 * Writes a register anew from the signed files that are left of what it told. Its first line says so, and how many of
 * the next lines are from files. What only the register knew stays lost: reasons, accepted rollbacks, which license a
 * moved one became, and whatever has no file any more.
 *
 * @throws FILE_EXISTS where there is a register; what is wrong with a file; VENDOR_SIGNER_FAILED
 */
export async function rebuildRegister(input: RebuildInput): Promise<Rebuilt> {
  const { vendorDirectory: directory, signer, now } = input;
  return await withRegisterLock(directory, async () => {
    const vendor = await readVendorCertificates(directory);
    const empty = await readRegister(directory, vendor);
    if (empty.lines.length > 0) {
      throw new SignetError("FILE_EXISTS", `${directory}: has a register of ${empty.lines.length} lines`);
    }
    const documents = readDocuments(input.files, vendor.root.toString());
    const past = [
      ...documents.licenses.map((license) => issuedFrom(license, documents)),
      ...withdrawnFrom(documents),
    ].toSorted((a, b) => Date.parse(a.at) - Date.parse(b.at) || sequenceOf(a) - sequenceOf(b));
    const mark = {
      event: "rebuilt" as const,
      lines: past.length,
      revocationNumber: Math.max(input.revocationNumber, 0, ...documents.lists.map(({ number }) => number)),
      moved: [...new Set(documents.receipts.map(({ licenseId }) => licenseId))].sort(),
    };
    const lines = [{ entry: mark, at: now.toISOString() }, ...past];
    const register = await appendLines(directory, empty, lines, signer);
    return {
      register,
      licenses: documents.licenses.length,
      withoutRequest: documents.licenses.filter((license) => !documents.requests.has(requestKeyOf(license))).length,
      lists: documents.lists.length,
      receipts: documents.receipts.length,
    };
  });
}

/** Each once, by what it says it is; a copy of a file changes nothing. */
function readDocuments(files: readonly VendorFile[], root: string): Documents {
  const roots = [parseTrustRoot(Buffer.from(root))];
  const licenses = new Map<string, License>();
  const requests = new Map<string, HostRequest>();
  const lists = new Map<string, SignedRevocationList>();
  const receipts = new Map<string, DeactivationReceipt>();
  for (const { path, bytes } of files) {
    inFile(path, () => {
      switch (signedFileKind(bytes)) {
        case "license": {
          const { license } = verifySignedLicense(bytes, roots);
          licenses.set(`${license.licenseId} ${license.sequence} ${license.requestId}`, license);
          break;
        }
        case "request": {
          const request = parseHostRequest(bytes);
          const known = requests.get(requestKeyOf(request));
          if ((known?.ledger?.sequence ?? -1) <= (request.ledger?.sequence ?? -1)) {
            requests.set(requestKeyOf(request), request);
          }
          break;
        }
        case "revocation": {
          const list = parseRevocationList(bytes, roots);
          lists.set(`${list.signerKeyId} ${list.number}`, list);
          break;
        }
        case "receipt": {
          const receipt = parseDeactivationReceipt(bytes);
          receipts.set(receipt.receiptId, receipt);
          break;
        }
        default:
          throw new SignetError("USAGE", "is no license, request, revocation list or receipt");
      }
    });
  }
  // A receipt can be made by anybody, for any license; only the licensed host's own counts.
  const owners = new Set([...licenses.values()].map(({ licenseId, host }) => `${licenseId} ${hostKeyIdOf(host)}`));
  const isOwn = (receipt: DeactivationReceipt) => owners.has(`${receipt.licenseId} ${hostKeyIdOf(receipt)}`);
  return {
    licenses: [...licenses.values()],
    requests,
    lists: [...lists.values()],
    receipts: [...receipts.values()].filter(isOwn),
  };
}

/** A request, or the license that was issued for it. */
interface Named {
  readonly requestId: string;
  readonly host: { readonly signingKey: string };
}

/** A request can be made by anybody, with any id; only the licensed host's own counts, and of these the latest. */
function requestKeyOf({ requestId, host }: Named): string {
  return `${requestId} ${hostKeyIdOf(host)}`;
}

interface Past {
  readonly entry: RegisterEntry;
  readonly at: string;
}

function issuedFrom(license: License, { requests }: Documents): Past {
  const { licenseId, sequence, kind, customer, requestId, expires, services } = license;
  const hostKeyId = hostKeyIdOf(license.host);
  const ledger = requests.get(requestKeyOf(license))?.ledger ?? null;
  const entry: Issued = {
    event: "issued",
    ...{ licenseId, sequence, kind, customer, requestId, hostKeyId, expires, ledger },
    services: Object.fromEntries(services.map(({ name, limits }) => [name, limits])),
    rollbackAccepted: null,
    movedFrom: null,
  };
  return { entry, at: license.issuedAt };
}

/** Renewals of one moment stay in their order. */
function sequenceOf({ entry }: Past): number {
  return entry.event === "issued" ? entry.sequence : 0;
}

function withdrawnFrom({ lists }: Documents): Past[] {
  return lists.map(({ number, licenses, issuers, issuedAt }) => ({
    entry: { event: "withdrawn", number, licenses: [...licenses], issuers: [...issuers], reason: null },
    at: issuedAt,
  }));
}
