import { z } from "zod";
import { needsObstacle, needsSchema } from "../config/index.ts";
import { datatypeNames, findUnbatchable, quoteName, type TensorSpec } from "../tensor/index.ts";

/**
 * The three signed or encrypted documents of DESIGN section 4, field by field. Every object is strict:
 * an unknown key is an error, because a field that is not understood could be a limit that is not kept.
 * Times are ISO 8601 in UTC, durations milliseconds, binary values base64 unless named hex.
 */

export const PRODUCT = "signet";

/** DSSE payload types. They differ per document so that none can be replayed as another. */
export const payloadTypes = {
  license: "application/vnd.signet.license+json;v=1",
  request: "application/vnd.signet.host-request+json;v=1",
  revocation: "application/vnd.signet.revocation-list+json;v=1",
  receipt: "application/vnd.signet.deactivation-receipt+json;v=1",
  /** A line of the vendor's register. */
  register: "application/vnd.signet.register-line+json;v=1",
} as const;

const base64 = z.base64();
const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);
const md5Hex = z.string().regex(/^[0-9a-f]{32}$/);
const instant = z.iso.datetime();
const count = z.int().nonnegative();
/** Names are labels, never paths. */
export const label = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, "expected letters, digits, dots, dashes and underscores");

const digestsSchema = z.strictObject({ size: count, md5: md5Hex, sha256: sha256Hex });
export type Digests = z.infer<typeof digestsSchema>;

// ── fingerprint ──────────────────────────────────────────────────────────────────────────────────

const componentTypes = [
  "system-uuid",
  "board-serial",
  "chassis-serial",
  "cpu",
  "disk",
  "nic",
  "gpu",
  "machine-id",
] as const;
export type ComponentType = (typeof componentTypes)[number];

/** One enrolled fact about a host. The value itself never leaves the host; `hash` is salted and slow. */
const componentSchema = z.strictObject({
  type: z.enum(componentTypes),
  weight: z.int().min(1).max(9),
  hash: base64,
});
export type Component = z.infer<typeof componentSchema>;

const platforms = ["physical", "vm", "container"] as const;
export type Platform = (typeof platforms)[number];

const hostKeys = {
  /** Ed25519 public key, SPKI DER: proof of possession. */
  signingKey: base64,
  /** X25519 public key, SPKI DER: the content key of license.conf is wrapped to it. */
  wrappingKey: base64,
  /** 32 random bytes that salt the component hashes. */
  salt: base64,
  platform: z.enum(platforms),
  components: z.array(componentSchema).max(64),
};

// ── host.req ─────────────────────────────────────────────────────────────────────────────────────

export const ledgerHeadSchema = z.strictObject({
  sequence: count,
  mac: base64,
  /** The license whose totals these are; null where none is installed. */
  licenseId: z.uuid().nullable(),
  /** What has been charged under that license so far, per service name. */
  totals: z.record(label, z.strictObject({ runs: count, runTimeMs: count })),
});
export type LedgerHead = z.infer<typeof ledgerHeadSchema>;

export const hostRequestSchema = z.strictObject({
  v: z.literal(1),
  product: z.literal(PRODUCT),
  requestId: z.uuid(),
  createdAt: instant,
  host: z.strictObject({
    ...hostKeys,
    /** True where too little hardware is visible to tell the host from a copy of itself. */
    weak: z.boolean(),
    os: z.string().max(200),
    arch: z.string().max(40),
  }),
  /** Absent until a first license has been used. */
  ledger: ledgerHeadSchema.optional(),
});
export type HostRequest = z.infer<typeof hostRequestSchema>;

// ── license.lic ──────────────────────────────────────────────────────────────────────────────────

/** What a service may do. null means unlimited. */
export const limitsSchema = z.strictObject({
  /** Runs in all, over the life of the license and its renewals. */
  runs: count.nullable(),
  /** Run time in all, milliseconds, by the monotonic clock. */
  runTimeMs: count.nullable(),
  /** Run time of one job, milliseconds. */
  jobTimeMs: count.nullable(),
  /** Jobs running at the same time. */
  concurrency: z.int().min(1).max(1024),
  notBefore: instant.nullable(),
  expires: instant.nullable(),
});
export type Limits = z.infer<typeof limitsSchema>;

/** A trial is a license like any other, but the vendor's register lets a host key have only one. */
export const licenseKinds = ["full", "trial"] as const;
export type LicenseKind = (typeof licenseKinds)[number];

/** What happens when a license ends or its runs are used; enforcement.ts says what each means. */
export const enforcements = ["strict", "grace", "advisory"] as const;
export type Enforcement = (typeof enforcements)[number];

const licensedFileSchema = digestsSchema.extend({ name: label });
export type LicensedFile = z.infer<typeof licensedFileSchema>;

export const licenseSchema = z.strictObject({
  v: z.literal(1),
  product: z.string().max(64),
  licenseId: z.uuid(),
  kind: z.enum(licenseKinds),
  /** Grows with every renewal of the same license id; an older one is refused. */
  sequence: z.int().min(1),
  vendor: z.string().min(1).max(200),
  customer: z.string().min(1).max(200),
  requestId: z.uuid(),
  issuedAt: instant,
  notBefore: instant,
  expires: instant,
  /** Days after `expires` in which everything still runs, with warnings. */
  graceDays: z.int().min(0).max(366),
  enforcement: z.enum(enforcements),
  host: z.strictObject({
    ...hostKeys,
    /** Sum of weights that must match. */
    threshold: count,
    /** Distinct component types that must match. */
    minTypes: count,
  }),
  conf: digestsSchema.extend({
    /** The content key of license.conf, wrapped to the host (see content-key.ts). */
    contentKey: z.strictObject({ ephemeralKey: base64, nonce: base64, wrapped: base64 }),
  }),
  services: z
    .array(
      z.strictObject({
        name: label,
        version: label,
        files: z.array(licensedFileSchema).min(1).max(256),
        limits: limitsSchema,
      }),
    )
    .min(1)
    .max(256),
});
export type License = z.infer<typeof licenseSchema>;
export type LicensedService = License["services"][number];

/** A list of licenses and issuer keys that the vendor has withdrawn, signed like a license. */
export const revocationListSchema = z.strictObject({
  v: z.literal(1),
  product: z.literal(PRODUCT),
  number: z.int().min(1),
  issuedAt: instant,
  licenses: z.array(z.uuid()),
  /** SHA-256 of the issuer's SPKI DER, hex. */
  issuers: z.array(sha256Hex),
});
export type RevocationList = z.infer<typeof revocationListSchema>;

// ── deactivation receipt ─────────────────────────────────────────────────────────────────────────

/** What a host says when it gives a license back for good; signed with the host key inside it. */
export const deactivationReceiptSchema = z.strictObject({
  v: z.literal(1),
  product: z.literal(PRODUCT),
  receiptId: z.uuid(),
  createdAt: instant,
  licenseId: z.uuid(),
  /** The highest sequence of the license that was used on the host. */
  sequence: z.int().min(1),
  /** The host's Ed25519 public key, SPKI DER. */
  signingKey: base64,
  /** The ledger right after the record that ended the license there. */
  ledger: ledgerHeadSchema,
});
export type DeactivationReceipt = z.infer<typeof deactivationReceiptSchema>;

// ── license.conf ─────────────────────────────────────────────────────────────────────────────────

const tensorSpecSchema = z.strictObject({
  name: z.string().min(1).max(256),
  datatype: z.enum(datatypeNames),
  shape: z.array(z.int().min(-1)).max(8),
});

const fileRoles = ["library", "dependency", "model"] as const;
export type FileRole = (typeof fileRoles)[number];

/** The key of a plugin's configuration under which it finds its entitlements; no vendor's own config may use it. */
export const ENTITLEMENTS_KEY = "entitlements";

export const entitlementsSchema = z.record(
  label,
  z.union([z.boolean(), z.int(), z.string().max(1000)], "expected true, false, a whole number or a text"),
);
export type Entitlements = z.infer<typeof entitlementsSchema>;

export const pluginConfigSchema = z
  .record(z.string(), z.json())
  .refine(
    (config) => !Object.hasOwn(config, ENTITLEMENTS_KEY),
    `${ENTITLEMENTS_KEY}: is reserved for what is licensed`,
  );

/** The most items that one run of a service may have, in one request or in several that run together. */
export const maxBatchSizeSchema = z.int().min(1).max(65_536);

/** What keeps a service from running several items at once, in words; undefined where nothing does. */
export function batchingObstacle({
  inputs,
  outputs,
}: {
  inputs: readonly TensorSpec[];
  outputs: readonly TensorSpec[];
}) {
  if (inputs.length === 0) return "expected an input where maxBatchSize is set, found none";
  const wrong = findUnbatchable([...inputs, ...outputs]);
  if (wrong === undefined) return undefined;
  const expected = `expected a shape that begins with -1 in ${quoteName(wrong.name)}, where maxBatchSize is set`;
  return `${expected}, found [${wrong.shape}]`;
}

const serviceConfFields = z.strictObject({
  name: label,
  version: label,
  /** Libraries in load order: dependencies first, the plugin ("library", exactly one) after them. */
  files: z
    .array(licensedFileSchema.extend({ role: z.enum(fileRoles) }))
    .min(1)
    .max(256),
  /** Handed to the plugin's create() as JSON. */
  config: pluginConfigSchema,
  /** What the vendor sold beside the service itself; create() gets it with the configuration (see plugin-config.ts). */
  entitlements: entitlementsSchema,
  /** What a client is told through ModelConfig, for example how to prepare an input. */
  parameters: z.record(z.string().max(64), z.string()),
  /** What requests are checked against before native code sees them; learned from the plugin at issue. */
  inputs: z.array(tensorSpecSchema).max(64),
  outputs: z.array(tensorSpecSchema).min(1).max(64),
  /** Absent where the first dimension of a tensor is like any other, and requests run one by one. */
  maxBatchSize: maxBatchSizeSchema.optional(),
  /** Absent where its vendor says nothing of it. */
  needs: needsSchema.optional(),
  limits: limitsSchema,
});
const serviceConfSchema = serviceConfFields.superRefine((service, context) => {
  const obstacles = {
    maxBatchSize: service.maxBatchSize === undefined ? undefined : batchingObstacle(service),
    needs: needsObstacle(service.needs ?? {}),
  };
  for (const [key, message] of Object.entries(obstacles)) {
    if (message !== undefined) context.addIssue({ code: "custom", path: [key], message });
  }
});
export type ServiceConf = z.infer<typeof serviceConfSchema>;

export const licenseConfSchema = z.strictObject({
  v: z.literal(1),
  product: z.string().max(64),
  licenseId: z.uuid(),
  sequence: z.int().min(1),
  services: z.array(serviceConfSchema).min(1).max(256),
});
export type LicenseConf = z.infer<typeof licenseConfSchema>;
