import { dirname, resolve } from "node:path";
import { z } from "zod";
import { type DeclaredNeeds, describeIssue, needsObstacle, needsSchema, parseYaml } from "../../src/config/index.ts";
import { SignetError } from "../../src/errors.ts";
import {
  type Enforcement,
  type Entitlements,
  enforcements,
  entitlementsSchema,
  type LicenseKind,
  type Limits,
  label,
  licenseKinds,
  maxBatchSizeSchema,
  pluginConfigSchema,
  readSmallFile,
} from "../../src/license/index.ts";
import { durationSchema } from "./duration.ts";

const MAX_TEXT_BYTES = 1024 * 1024;
const DAY_MS = 24 * 3600 * 1000;
const CLOCK_DIFFERENCE_MS = 3600 * 1000;

/** A day (2027-01-31, its first moment in UTC) or a moment (2027-01-31T12:00:00Z). */
const moment = z
  .union([z.iso.date(), z.iso.datetime({ offset: true })], "expected a date such as 2027-01-31 or 2027-01-31T12:00:00Z")
  .transform((text) => new Date(text).toISOString());

const path = z.string().min(1).max(4096);

const limits = z.strictObject({
  runs: z.int().min(1).nullable().default(null),
  runTime: durationSchema.nullable().default(null),
  jobTime: durationSchema.nullable().default(null),
  concurrency: z.int().min(1).max(1024).default(1),
  notBefore: moment.nullable().default(null),
  expires: moment.nullable().default(null),
});

const parameter = z.union([z.string(), z.strictObject({ file: path })], "expected a text or { file: PATH }");

const service = z.strictObject({
  name: label,
  version: label.default("1"),
  library: path,
  dependencies: z.array(path).max(64).default([]),
  models: z.array(path).max(64).default([]),
  config: pluginConfigSchema.default({}),
  entitlements: entitlementsSchema.default({}),
  parameters: z.record(z.string().max(64), parameter).default({}),
  maxBatchSize: maxBatchSizeSchema.optional(),
  needs: needsSchema
    .superRefine((needs, context) => {
      const message = needsObstacle(needs);
      if (message !== undefined) context.addIssue({ code: "custom", message });
    })
    .optional(),
  limits: limits.prefault({}),
});

const descriptionSchema = z
  .strictObject({
    customer: z.string().min(1).max(200),
    license: z.strictObject({
      kind: z.enum(licenseKinds).default("full"),
      validDays: z.int().min(1).max(36_500).optional(),
      notBefore: moment.optional(),
      expires: moment.optional(),
      graceDays: z.int().min(0).max(366).default(0),
      enforcement: z.enum(enforcements).default("strict"),
    }),
    services: z.array(service).min(1).max(256),
  })
  .superRefine((description, context) => {
    const { validDays, expires } = description.license;
    if ((validDays === undefined) === (expires === undefined)) {
      context.addIssue({ code: "custom", path: ["license"], message: "expected either validDays or expires" });
    }
    const names = new Set<string>();
    for (const [index, { name: taken }] of description.services.entries()) {
      if (names.has(taken)) {
        const message = `${taken} is described twice`;
        context.addIssue({ code: "custom", path: ["services", index, "name"], message });
      }
      names.add(taken);
    }
  });

type Parsed = z.infer<typeof descriptionSchema>;

/** One service as the vendor describes it; every path is absolute. */
export interface DescribedService {
  readonly name: string;
  readonly version: string;
  readonly library: string;
  readonly dependencies: readonly string[];
  readonly models: readonly string[];
  readonly config: Parsed["services"][number]["config"];
  readonly entitlements: Entitlements;
  readonly parameters: Readonly<Record<string, string>>;
  /** Undefined where the first dimension of the tensors is no number of items. */
  readonly maxBatchSize?: number | undefined;
  /** What each process of it takes of its host; undefined where that is not said. */
  readonly needs?: DeclaredNeeds | undefined;
  readonly limits: Limits;
}

export interface ServiceDescription {
  readonly customer: string;
  readonly kind: LicenseKind;
  readonly graceDays: number;
  readonly enforcement: Enforcement;
  /** Both given or derived from `validDays`, ISO 8601 in UTC. */
  readonly notBefore: string;
  readonly expires: string;
  readonly services: readonly DescribedService[];
}

/**
 * Reads services.yaml. Paths in it are relative to it.
 * @param now what a license without notBefore starts at, and what validDays count from
 * @throws SignetError VENDOR_DESCRIPTION_INVALID with file, line and key; FILE_UNREADABLE
 */
export async function loadServiceDescription(file: string, now: Date): Promise<ServiceDescription> {
  const text = await readText(file);
  const parsed = parseDescription(text, file);
  const folder = dirname(resolve(file));
  const { validDays } = parsed.license;
  const starts = parsed.license.notBefore === undefined ? now.getTime() : Date.parse(parsed.license.notBefore);
  // A host whose clock is a little behind the vendor's may start at once too.
  const notBefore = parsed.license.notBefore ?? new Date(starts - CLOCK_DIFFERENCE_MS).toISOString();
  const expires = parsed.license.expires ?? new Date(starts + (validDays ?? 0) * DAY_MS).toISOString();
  if (expires <= notBefore) {
    const message = `${file}: license: expires ${expires} is not after notBefore ${notBefore}`;
    throw new SignetError("VENDOR_DESCRIPTION_INVALID", message);
  }
  const services = await Promise.all(parsed.services.map((each) => resolveService(each, folder)));
  const { kind, graceDays, enforcement } = parsed.license;
  return { customer: parsed.customer, kind, graceDays, enforcement, notBefore, expires, services };
}

function parseDescription(text: string, file: string): Parsed {
  const { value, placeOf } = parseYaml(text, file, "VENDOR_DESCRIPTION_INVALID");
  const result = descriptionSchema.safeParse(value);
  if (result.success) return result.data;
  const { key, path, words } = describeIssue(result.error, value);
  throw new SignetError("VENDOR_DESCRIPTION_INVALID", `${placeOf(path)}: ${key || "the file"}: ${words}`);
}

async function resolveService(described: Parsed["services"][number], folder: string): Promise<DescribedService> {
  const { limits: given, ...rest } = described;
  const absolute = (relative: string) => resolve(folder, relative);
  const parameters: Record<string, string> = {};
  for (const [key, value] of Object.entries(described.parameters)) {
    parameters[key] = typeof value === "string" ? value : await readText(absolute(value.file));
  }
  return {
    ...rest,
    library: absolute(described.library),
    dependencies: described.dependencies.map(absolute),
    models: described.models.map(absolute),
    parameters,
    limits: {
      runs: given.runs,
      runTimeMs: given.runTime,
      jobTimeMs: given.jobTime,
      concurrency: given.concurrency,
      notBefore: given.notBefore,
      expires: given.expires,
    },
  };
}

async function readText(file: string): Promise<string> {
  const bytes = await readSmallFile(file, {
    maxBytes: MAX_TEXT_BYTES,
    missing: "FILE_UNREADABLE",
    tooLarge: "VENDOR_DESCRIPTION_INVALID",
    what: "a text",
  });
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new SignetError("VENDOR_DESCRIPTION_INVALID", `${file}: expected text in UTF-8`);
  }
}
