import type { Target } from "./target.ts";

/**
 * Every target by name. Each comes with only the modules it needs, so that the blocks that are counted are those of
 * its reader.
 */
export const targets: Readonly<Record<string, () => Promise<Target>>> = {
  license: async () => (await import("./targets/license.ts")).licenseFile(),
  "license-envelope": async () => (await import("./targets/license.ts")).licenseEnvelope(),
  "license-payload": async () => (await import("./targets/license.ts")).licensePayload(),
  "license-conf": async () => (await import("./targets/license.ts")).licenseConf(),
  "license-conf-file": async () => (await import("./targets/license.ts")).licenseConfFile(),
  "issuer-certificate": async () => (await import("./targets/certificates.ts")).issuerCertificate(),
  "root-certificate": async () => (await import("./targets/certificates.ts")).rootCertificate(),
  request: async () => (await import("./targets/signed-documents.ts")).requestFile(),
  "request-payload": async () => (await import("./targets/signed-documents.ts")).requestPayload(),
  "receipt-payload": async () => (await import("./targets/signed-documents.ts")).receiptPayload(),
  "revocation-payload": async () => (await import("./targets/signed-documents.ts")).revocationPayload(),
  "strict-json": async () => (await import("./targets/texts.ts")).strictJson(),
  pem: async () => (await import("./targets/texts.ts")).pem(),
  elf: async () => (await import("./targets/elf.ts")).elf(),
  "infer-request": async () => (await import("./targets/infer-request.ts")).inferRequest(),
  "http-infer-request": async () => (await import("./targets/http-infer-request.ts")).httpInferRequest(),
  "generate-request": async () => (await import("./targets/generate-request.ts")).generateRequest(),
  "grpc-web-text": async () => (await import("./targets/web-text.ts")).webText(),
  "http2-frames": async () => (await import("./targets/http2.ts")).http2Frames(),
  "http2-headers": async () => (await import("./targets/http2.ts")).http2Headers(),
  "http2-messages": async () => (await import("./targets/http2.ts")).http2Messages(),
  "http2-connection": async () => (await import("./targets/http2-connection.ts")).http2Connection(),
  "service-reply": async () => (await import("./targets/reply.ts")).serviceReply(),
  "plugin-description": async () => (await import("./targets/reply.ts")).pluginDescription(),
  "ledger-journal": async () => (await import("./targets/records.ts")).ledgerJournal(),
  "ledger-line": async () => (await import("./targets/records.ts")).ledgerLine(),
  "ledger-anchor": async () => (await import("./targets/records.ts")).ledgerAnchor(),
  "audit-record": async () => (await import("./targets/records.ts")).auditRecord(),
  register: async () => (await import("./targets/records.ts")).register(),
  inspect: async () => (await import("./targets/vendor.ts")).inspect(),
  "service-description": async () => (await import("./targets/vendor.ts")).serviceDescription(),
  config: async () => (await import("./targets/people.ts")).config(),
  "access-file": async () => (await import("./targets/people.ts")).accessFile(),
};
