import { formatDuration, formatFields, formatTable, plural, terminalColumns, wrapText } from "../../src/cli/index.ts";
import type { Component, Digests, HostRequest, LedgerHead, License, Limits } from "../../src/license/index.ts";
import { thresholdFor, weightOf } from "../../src/license/index.ts";
import type { CertificateFacts, Inspection, SignatureFacts } from "./inspect-file.ts";

/** An inspection in words. @param now what a license's dates are compared with */
export function formatInspection(inspection: Inspection, now: Date): string {
  const paragraphs = describe(inspection, now);
  if (inspection.unknown.length > 0) {
    paragraphs.push(["Cannot be known from this file:", ...inspection.unknown.flatMap(indented)].join("\n"));
  }
  return paragraphs.join("\n\n");
}

/** A sentence as wide as the terminal. */
function paragraph(text: string): string {
  return wrapText(text).join("\n");
}

function indented(text: string): string[] {
  return wrapText(text, terminalColumns() - 4).map((line, index) => `${index === 0 ? "  " : "    "}${line}`);
}

function describe(inspection: Inspection, now: Date): string[] {
  switch (inspection.kind) {
    case "host request":
      return describeRequest(inspection.document, inspection.signature);
    case "license":
      return describeLicense(inspection.document, inspection.signature, now);
    case "revocation list": {
      const { number, issuedAt, licenses, issuers } = inspection.document;
      return [
        paragraph(`A list of what a vendor has withdrawn, ${describeSignature(inspection.signature)}.`),
        formatFields([
          ["number", number],
          ["made", issuedAt],
          ["licenses", licenses.join(", ") || "none"],
          ["issuers", issuers.join(", ") || "none"],
        ]),
      ];
    }
    case "deactivation receipt": {
      const { licenseId, sequence, createdAt, ledger } = inspection.document;
      return [
        "A receipt: the host whose key signed it has given the license back for good.",
        formatFields([
          ["license", `${licenseId}, sequence ${sequence}`],
          ["made", createdAt],
          ["host key id", inspection.signature.keyId],
        ]),
        `Used there, by its ledger of ${ledger.sequence} records:`,
        formatTable(usedHeader, usedRows(ledger)),
      ];
    }
    case "configuration": {
      const { licenseId, size, md5, sha256 } = inspection.document;
      const belongs = licenseId === null ? "" : ` It belongs to the license beside it, ${licenseId}.`;
      return [
        paragraph(`Most likely an encrypted service configuration (license.conf).${belongs}`),
        formatFields([
          ["size", size],
          ["MD5", md5],
          ["SHA-256", sha256],
        ]),
      ];
    }
    case "certificate":
      return describeCertificate(inspection.document, now);
    case "private key":
      return inspection.document.encrypted
        ? ["A private key, encrypted with a passphrase. Never send it to anyone."]
        : ["A private key WITHOUT a passphrase. Never send it to anyone; whoever has read it can use it."];
  }
}

function describeRequest({ requestId, createdAt, host, ledger }: HostRequest, signature: SignatureFacts): string[] {
  const { threshold, minTypes } = thresholdFor(host.components);
  const paragraphs = [
    paragraph("A request for a license, signed by the host key inside it: whoever made it holds that key."),
    formatFields([
      ["request", requestId],
      ["made", createdAt],
      ["host key id", signature.keyId],
      ["platform", `${host.platform}, ${host.os}, ${host.arch}`],
      ["strength", host.weak ? "WEAK: a copy of this host could pass for it; issuing needs --accept-weak" : "good"],
    ]),
    describeComponents(host.components, threshold, minTypes),
  ];
  if (ledger === undefined) return [...paragraphs, "It has used no license yet."];
  const used = formatTable(usedHeader, usedRows(ledger));
  return [...paragraphs, `Used so far, by its ledger of ${plural(ledger.sequence + 1, "record")}:`, used];
}

function usedRows({ totals }: LedgerHead): string[][] {
  return Object.entries(totals).map(([name, { runs, runTimeMs }]) => [name, `${runs}`, formatDuration(runTimeMs)]);
}

const usedHeader = ["SERVICE", "RUNS", "RUN TIME"];

function describeLicense(license: License, signature: SignatureFacts, now: Date): string[] {
  const { host, conf } = license;
  return [
    paragraph(
      `A ${license.kind === "trial" ? "TRIAL license" : "license"} of ${license.vendor} for ${license.customer}, ${describeSignature(signature)}.`,
    ),
    formatFields([
      ["license", `${license.licenseId}, sequence ${license.sequence}`],
      ["product", license.product],
      ["request", license.requestId],
      ["issued", license.issuedAt],
      ["valid from", license.notBefore],
      ["expires", `${license.expires}, then ${plural(license.graceDays, "day")} of grace`],
      ["enforcement", license.enforcement],
      ["now", describePhase(license, now)],
      ["platform", host.platform],
      ["issuer key id", signature.keyId],
      ["root key id", signature.root],
    ]),
    describeComponents(host.components, host.threshold, host.minTypes),
    describeFile("license.conf", conf, ""),
    ...license.services.map(({ name, version, limits, files }) =>
      [
        paragraph(`Service ${name}, version ${version}: ${describeLimits(limits)}`),
        ...files.map((file) => describeFile(file.name, file, "  ")),
      ].join("\n"),
    ),
  ];
}

/** Digests on lines of their own: a SHA-256 beside anything else is wider than a terminal. */
function describeFile(name: string, { size, md5, sha256 }: Digests, indent: string): string {
  return [`${name}, ${plural(size, "byte")}`, `  MD5      ${md5}`, `  SHA-256  ${sha256}`]
    .map((line) => `${indent}${line}`)
    .join("\n");
}

function describeCertificate(certificate: CertificateFacts, now: Date): string[] {
  const role = {
    root: "A vendor's root certificate: pinned on a host, it decides whose licenses hold there.",
    issuer: "A vendor's issuer certificate: its key signs licenses.",
    other: "A certificate that Signet has no use for: it is neither a CA nor meant for license issuing.",
  }[certificate.role];
  const phase = now.toISOString() > certificate.expires ? ", expired" : "";
  return [
    paragraph(role),
    formatFields([
      ["key id", certificate.keyId],
      ["subject", certificate.subject],
      ["issued by", certificate.issuer],
      ["key", certificate.key],
      ["valid from", certificate.notBefore],
      ["expires", `${certificate.expires}${phase}`],
      ["usable", certificate.weakness === null ? "yes" : `no: ${certificate.weakness}`],
      ["root key id", certificate.root],
    ]),
  ];
}

function describeSignature({ holds, signer, root }: SignatureFacts): string {
  const by = signer ?? "a key that is not in the file";
  if (holds === false) return `but its signature DOES NOT HOLD for ${by}`;
  if (holds === null) return `signed by ${by}: --root root.pem is needed to check it`;
  return root === null ? `signed by ${by}` : `signed by ${by}, whom the given root vouches for`;
}

function describeComponents(components: readonly Component[], threshold: number, minTypes: number): string {
  if (components.length === 0) return "It is bound to the host key alone: no hardware is enrolled.";
  const rows = components.map(({ type, weight }) => [type, `${weight}`]);
  const rule = `${threshold} of ${weightOf(components)} points from ${minTypes} or more types must match`;
  const intro = "Hardware, by type only. Points say how well a component tells this host from others";
  return [paragraph(`${intro}; for the license to hold, ${rule}:`), formatTable(["COMPONENT", "POINTS"], rows)].join(
    "\n",
  );
}

function describeLimits(limits: Limits): string {
  const words = [
    limits.runs === null ? "any number of runs" : plural(limits.runs, "run"),
    limits.runTimeMs === null ? null : `${formatDuration(limits.runTimeMs)} of run time`,
    limits.jobTimeMs === null ? null : `${formatDuration(limits.jobTimeMs)} a job`,
    `${limits.concurrency} at a time`,
    limits.notBefore === null ? null : `from ${limits.notBefore}`,
    limits.expires === null ? null : `until ${limits.expires}`,
  ];
  return words.filter((word) => word !== null).join(", ");
}

function describePhase({ notBefore, expires, graceDays }: License, now: Date): string {
  const nowMs = now.getTime();
  if (nowMs < Date.parse(notBefore)) return "not valid yet";
  if (nowMs < Date.parse(expires)) return "valid";
  return nowMs < Date.parse(expires) + graceDays * 86_400_000 ? "expired, in grace" : "expired";
}
