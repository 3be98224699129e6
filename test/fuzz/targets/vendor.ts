import { writeFileSync } from "node:fs";
import { envelopeKinds } from "../../../src/license/envelope.ts";
import { signEnvelope } from "../../../src/license/sign.ts";
import { formatInspection } from "../../../tools/license/format-inspection.ts";
import { inspectFile } from "../../../tools/license/inspect-file.ts";
import { loadServiceDescription } from "../../../tools/license/service-description.ts";
import { mutateBytes } from "../mutate.ts";
import { mutateJson } from "../mutate-json.ts";
import { hold, type Target } from "../target.ts";
import { createDesk, fill, licenseWithMarks, now, requestId, sealConf } from "./desk.ts";
import { createScratch } from "./scratch.ts";

/**
 * Files that are explained whoever signed them: a license and a revocation list, made into envelopes and then words.
 */
export function inspect(): Target {
  const desk = createDesk();
  const { confFile, contentKey } = sealConf(desk);
  const { key, certificate } = desk.vendor.issuer;
  const list = { v: 1, product: "signet", number: 4, issuedAt: now.toISOString(), licenses: [requestId], issuers: [] };
  return {
    codes: ["LICENSE_PAYLOAD_INVALID", "REVOCATION_LIST_INVALID"],
    starts: [licenseWithMarks, list].map((document) => Buffer.from(JSON.stringify(document))),
    mutate: mutateJson,
    maxBytes: 8192,
    run(input) {
      const payload = Buffer.from(fill(input.toString(), desk, confFile, contentKey));
      const kind = payload.includes('"licenseId"') ? envelopeKinds.license : envelopeKinds.revocation;
      const file = Buffer.from(signEnvelope({ kind, payload, key, certificates: [certificate] }));
      const inspection = inspectFile(file, { root: desk.vendor.trustRoot });
      hold("signature" in inspection && inspection.signature.holds === true, "the signature holds");
      hold(formatInspection(inspection, now).length < 100 * 1024, "words are in proportion to the file");
      return `accepted ${inspection.kind}`;
    },
  };
}

const description = `customer: Factory
license: { kind: full, validDays: 365, graceDays: 14, enforcement: grace }
services:
  - name: demo
    library: libdemo.so
    dependencies: [liba.so]
    models:
      - model.onnx
    config: { threads: 2 }
    entitlements: { pro: true }
    parameters: { alphabet: abc }
    limits: { runs: 100, runTime: 10h, jobTime: 30s, concurrency: 2, expires: 2027-01-31 }
`;

/** services.yaml, from YAML to what a license will say. */
export function serviceDescription(): Target {
  const scratch = createScratch();
  const path = scratch.path("services.yaml");
  return {
    codes: ["VENDOR_DESCRIPTION_INVALID"],
    starts: [Buffer.from(description)],
    mutate: mutateBytes,
    maxBytes: 1024,
    async run(input) {
      writeFileSync(path, input);
      const { notBefore, expires } = await loadServiceDescription(path, now);
      hold(Date.parse(notBefore) < Date.parse(expires), "a license ends after it begins");
      return "accepted";
    },
    close: scratch.remove,
  };
}
