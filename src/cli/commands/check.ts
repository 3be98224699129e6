import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Command } from "commander";
import {
  type DataDirectory,
  dataDirectory,
  loadConfig,
  readLaunch,
  resolveHttpListen,
  resolveListen,
  resolveMetricsListen,
  type ServerConfig,
  unlicensedSettings,
  verifyLaunch,
} from "../../config/index.ts";
import { fileError } from "../../errors.ts";
import type { LedgerState, LicenseTime } from "../../license/index.ts";
import type { AuthorizedService, FirstAuthorization } from "../../service/index.ts";
import { type DataFormat, printData, say } from "../output.ts";
import { formatFields, formatTable } from "../text-layout.ts";
import { warnRefusedServices } from "../warn-refused-services.ts";

interface CheckOptions extends DataFormat {
  readonly data?: string;
  readonly config?: string;
}

/** `signet check`: would `signet serve` start? */
export function checkCommand(): Command {
  return new Command("check")
    .description("Check everything that `signet serve` checks before it starts, without opening a port.")
    .helpCommand(false)
    .option("--config <file>", "the configuration (default: signet.yaml in the data directory)")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Reads the configuration, access tokens, license, ledger and every library, and
shows what would be served. It changes nothing, starts no plugin and works
beside a running server. Stops at the first thing that is wrong: exit code 2 for
the configuration, 3 for what is refused.

Example:
  $ signet check && systemctl restart signet`,
    )
    .action(async (_, self: Command) => check(self.optsWithGlobals()));
}

async function check(options: CheckOptions): Promise<void> {
  verifyLaunch(readLaunch());
  const { openTls } = await import("../../listener/index.ts");
  const { authorizeFirst, readHostLedger, readTokens, remainingOf, serviceRefusal } = await import(
    "../../service/index.ts"
  );
  const data = dataDirectory(options.data);
  const file = options.config ?? data.configFile;
  const config = loadConfig({ file, required: options.config !== undefined });
  const listen = resolveListen(config);
  const http = resolveHttpListen(config);
  const metrics = resolveMetricsListen(config);
  openTls(listen);
  const tokens = readTokens(data.accessFile);
  const first = await authorizeFirst(data, (hostKey) => readHostLedger(data, hostKey));
  for (const directory of written(data, first.services)) await verifyWritable(directory);

  const { license, time, fingerprint } = first.authorized;
  const { licenseId, sequence, kind, vendor, customer, expires, graceDays } = license;
  const found = {
    config: file,
    listen: listen.address,
    http: http?.address ?? null,
    metrics: metrics?.address ?? null,
    tls: listen.tls !== null,
    tokens: tokens.length,
    license: { licenseId, sequence, kind, vendor, customer, expires, graceDays, time },
    changedHardware: fingerprint.changedTypes,
    services: first.services.map(({ conf, files }) => ({
      name: conf.name,
      version: conf.version,
      files: conf.files.length,
      bytes: files.bytes,
      concurrency: conf.limits.concurrency,
      ...remainingOf(license, conf, first.ledger),
      refusal: serviceRefusal(license, conf, first.ledger, Math.max(Date.now(), first.ledger.highWaterMs)),
    })),
  };
  printData(found, options, () =>
    [
      formatFields([
        ["listen", `${found.listen}${found.tls ? " with TLS" : " in plaintext"}`],
        ["REST", found.http ?? "off"],
        ["metrics", found.metrics ?? "off"],
        ["tokens", found.tokens],
        ["license", `${licenseId}, sequence ${sequence}${kind === "trial" ? ", a TRIAL" : ""}`],
        ["vendor", vendor],
        ["expires", `${expires}${describePhase(time)}`],
      ]),
      formatTable(
        ["SERVICE", "VERSION", "FILES", "MIB", "AT ONCE", "RUNS LEFT"],
        found.services.map(({ name, version, files, bytes, concurrency, runsLeft }) => {
          return [
            name,
            version,
            `${files}`,
            (bytes / 2 ** 20).toFixed(1),
            `${concurrency}`,
            `${runsLeft ?? "unlimited"}`,
          ];
        }),
      ),
    ].join("\n\n"),
  );
  const { DRIFT_NEXT, describeDrift } = await import("../../license/index.ts");
  sayWarnings(config, first, tokens.length);
  const drift = describeDrift(fingerprint);
  if (drift !== null) say(`${drift}. ${DRIFT_NEXT}`);
  warnRefusedServices(found.services);
}

function describePhase({ phase }: LicenseTime): string {
  if (phase === "valid") return "";
  return phase === "grace" ? ": EXPIRED, in its days of grace" : ": EXPIRED, and goes on as it is advisory";
}

/** What would not keep the server from starting, but surprise somebody afterwards. */
function sayWarnings(config: ServerConfig, { services }: FirstAuthorization<LedgerState>, tokens: number) {
  if (tokens === 0) say("Nobody can call yet: make a token with `signet access add --name NAME`.");
  for (const name of unlicensedSettings(config, services)) {
    say(`The configuration has settings for ${name}, which the license does not name.`);
  }
}

/** Where the server writes. */
function written(data: DataDirectory, services: readonly AuthorizedService[]): string[] {
  return [
    ...[data.ledgerDir, dirname(data.ledgerAnchorFile), dirname(data.runLogFile), data.auditDir],
    ...services.map(({ conf }) => join(data.homesDir, conf.name)),
  ];
}

/** A directory that is not there yet can be made if the nearest one above it can be written. */
async function verifyWritable(directory: string): Promise<void> {
  try {
    await access(directory, constants.W_OK | constants.X_OK);
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
    if (isMissing && dirname(directory) !== directory) return verifyWritable(dirname(directory));
    throw fileError(directory, error);
  }
}
