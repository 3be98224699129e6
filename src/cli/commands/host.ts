import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { Command } from "commander";
import { type DataDirectory, dataDirectory } from "../../config/index.ts";
import { fileError, SignetError } from "../../errors.ts";
import type { Component, ComponentType, HostKey, LedgerHead, Machine } from "../../license/index.ts";
import { type DataFormat, printData, say } from "../output.ts";
import { plural } from "../plural.ts";
import { recordCommand } from "../record-command.ts";
import { formatFields, formatTable, wrapText } from "../text-layout.ts";
import { warnOtherOwner } from "../warn-other-owner.ts";

interface GlobalOptions extends DataFormat {
  readonly data?: string;
}

interface RequestOptions extends GlobalOptions {
  readonly out: string;
}

/** `signet host`: what this machine is, and the request that a vendor issues a license for. */
export function hostCommand(): Command {
  const command = new Command("host")
    .description("Show this host, and make the request for its license.")
    .helpCommand(false);

  command
    .command("request")
    .description("Make host.req, to send to your vendor.")
    .option("--out <file>", "where to write it; nothing is ever overwritten", "host.req")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Makes this host's private key when there is none. The request holds the key's
public half and salted hashes of serial numbers, never the numbers; once a
license was used, also what was used of it. Run it as the user that the server
will run as: root sees more of the hardware than others, and the license is for
what was seen.

Example:
  $ signet host request --out host.req`,
    )
    .action(async (_, self: Command) => request(self.optsWithGlobals()));

  command
    .command("show")
    .description("Show what a request would say of this machine; changes nothing.")
    .option("--json", "print JSON")
    .action(async (_, self: Command) => show(self.optsWithGlobals()));

  return command;
}

async function request(options: RequestOptions): Promise<void> {
  const { createFile, createHostRequest, parseHostRequest } = await import("../../license/index.ts");
  const { readHostMachine } = await import("../../service/index.ts");
  const data = dataDirectory(options.data);
  await verifyCreatable(options.out);
  warnOtherOwner(data);
  const { hostKey, isNew } = await openOrCreateKey(data);
  const machine = await readHostMachine();
  const ledger = await readLedgerHead(data, hostKey);
  const text = await createHostRequest({ hostKey, machine, ledger });
  await createFile(options.out, text, 0o644);
  const { requestId, host } = parseHostRequest(Buffer.from(text));
  // With it the audit log begins on a new host, before there is a ledger.
  await recordCommand(data, { event: "host.requested", detail: { requestId, newKey: isNew } });
  const made = {
    file: options.out,
    requestId,
    keyId: keyIdOf(hostKey),
    newKey: isNew,
    ...(await strengthOf(host.components)),
    platform: host.platform,
    os: host.os,
    arch: host.arch,
    unreadable: machine.unreadable,
    ledger: ledger ?? null,
  };
  printData(made, options, () =>
    [
      formatFields([
        ["request", made.file],
        ["host key id", made.keyId],
        ["platform", `${made.platform}, ${made.os}, ${made.arch}`],
        ["strength", describeStrength(made)],
        ["usage", ledger === undefined ? "no license was used yet" : describeUsage(ledger)],
      ]),
      formatComponents(made.components),
    ].join("\n\n"),
  );
  if (isNew) {
    say(`NEW KEY: ${data.hostDir}/host.key was made just now; back it up, licenses hang on it.`);
    say(`If this host has a license already, ${data.root} is not its data directory: name it (--data, SIGNET_DATA).`);
  }
  if (made.weak) sayWeak();
  sayUnreadable(machine.unreadable);
  say(`Send ${options.out} to your vendor; it holds no secret. Read them the host key id by phone if it matters.`);
}

async function show(options: GlobalOptions): Promise<void> {
  const { crossCheckMachine, enroll } = await import("../../license/index.ts");
  const { describeGpus, readGpus } = await import("../../engine/index.ts");
  const { openOwnHostKey, readHostMachine } = await import("../../service/index.ts");
  const data = dataDirectory(options.data);
  const hostKey = await openOwnHostKey(data).catch(absentAs("HOST_KEY_MISSING", undefined));
  const machine = await readHostMachine();
  const gpus = await readGpus();
  const licenseMatch = await matchInstalledLicense(data, machine);
  // Nothing is decided by it, so a machine where it fails is still shown.
  const disagreements = await crossCheckMachine(machine).catch(() => null);
  // Through enroll, because that is what a license would count; the hashes are thrown away.
  const components = await enroll(machine, Buffer.alloc(32));
  const shown = {
    keyId: hostKey === undefined ? null : keyIdOf(hostKey),
    platform: machine.platform,
    os: machine.os,
    arch: machine.arch,
    ...(await strengthOf(components)),
    unreadable: machine.unreadable,
    gpus: {
      driverVersion: gpus.driverVersion,
      reason: gpus.reason,
      found: gpus.gpus.map(({ uuid: _, ...told }) => told),
    },
    licenseMatch,
    disagreements,
  };
  printData(shown, options, () =>
    [
      formatFields([
        ["host key id", shown.keyId ?? "none yet; `signet host request` makes it"],
        ["platform", `${shown.platform}, ${shown.os}, ${shown.arch}`],
        ["strength", describeStrength(shown)],
        ["license", licenseMatch ?? "none is installed"],
        ["GPUs", describeGpus(gpus)],
        ["second look", describeDisagreements(disagreements)],
      ]),
      formatComponents(shown.components),
    ].join("\n\n"),
  );
  if (shown.weak) sayWeak();
  sayUnreadable(machine.unreadable);
}

/** How this machine compares with the installed license; null where there is none that could be read. */
async function matchInstalledLicense(data: DataDirectory, machine: Machine): Promise<string | null> {
  const { describeHostMatch, matchFingerprint } = await import("../../license/index.ts");
  const { readInstalledLicense } = await import("../../service/index.ts");
  try {
    const { license } = await readInstalledLicense(data);
    return describeHostMatch(await matchFingerprint(license.host, machine));
  } catch (error) {
    const { code } = SignetError.from(error);
    return code === "LICENSE_MISSING" ? null : `the installed license could not be read (${code})`;
  }
}

/** Before the key is made and a second of hashing; the write itself refuses again. */
async function verifyCreatable(path: string): Promise<void> {
  const { access, constants, lstat } = await import("node:fs/promises");
  const there = await lstat(path).catch(() => undefined);
  if (there !== undefined) {
    const what = there.isDirectory() ? "is a directory, expected the name of a new file" : "is already there";
    throw new SignetError("FILE_EXISTS", `${path}: ${what}`);
  }
  await access(dirname(path), constants.W_OK | constants.X_OK).catch((error) => {
    throw fileError(dirname(path), error);
  });
}

async function openOrCreateKey(data: DataDirectory): Promise<{ hostKey: HostKey; isNew: boolean }> {
  const { createHostKey } = await import("../../license/index.ts");
  const { openOwnHostKey } = await import("../../service/index.ts");
  const present = await openOwnHostKey(data).catch(absentAs("HOST_KEY_MISSING", undefined));
  if (present !== undefined) return { hostKey: present, isNew: false };
  return { hostKey: await createHostKey(data.hostDir), isNew: true };
}

/**
 * What was used under the installed license. A host that has a ledger always quotes it, or taking the license
 * away would make a request that hides what was used.
 */
async function readLedgerHead(data: DataDirectory, hostKey: HostKey): Promise<LedgerHead | undefined> {
  const { readHostLedger, readInstalledLicense } = await import("../../service/index.ts");
  const ledger = readHostLedger(data, hostKey);
  if (ledger.sequence < 0) return undefined;
  try {
    const { license } = await readInstalledLicense(data);
    return ledger.head(license.licenseId);
  } catch (error) {
    say(`The installed license could not be read (${SignetError.from(error).code}), so the request names no services.`);
    return ledger.head(null);
  }
}

interface Strength {
  readonly weak: boolean;
  readonly weight: number;
  readonly threshold: number;
  readonly components: readonly { readonly type: ComponentType; readonly weight: number; readonly count: number }[];
}

/** Types and weights only: a hash could be compared with another request's. */
async function strengthOf(enrolled: readonly Component[]): Promise<Strength> {
  const { isWeak, thresholdFor, weightOf } = await import("../../license/index.ts");
  const types = [...new Set(enrolled.map(({ type }) => type))];
  return {
    weak: isWeak(enrolled),
    weight: weightOf(enrolled),
    threshold: thresholdFor(enrolled).threshold,
    components: types.map((type) => {
      const ofType = enrolled.filter((component) => component.type === type);
      return { type, weight: weightOf(ofType), count: ofType.length };
    }),
  };
}

/** As SHA-256 of a public key is called everywhere else: of its SPKI DER, hex. */
function keyIdOf(hostKey: HostKey): string {
  return createHash("sha256").update(hostKey.signingPublic).digest("hex");
}

function describeStrength({ weak, weight, threshold }: Strength): string {
  return `${weak ? "WEAK" : "good"}: ${plural(weight, "point")}, of which ${threshold} must still match later`;
}

function describeUsage({ sequence, totals }: LedgerHead): string {
  const used = Object.entries(totals).map(([service, { runs }]) => `${service} ${plural(runs, "run")}`);
  return `${used.join(", ") || "no runs"}, by a ledger of ${plural(sequence + 1, "record")}`;
}

function describeDisagreements(found: readonly { readonly type: ComponentType }[] | null): string {
  if (found === null) return "a second program to read the hardware with could not be asked";
  if (found.length === 0) return "a second program, systeminformation, reads the same hardware";
  return `a second program, systeminformation, reads DIFFERENT values for ${found.map(({ type }) => type).join(", ")}`;
}

function formatComponents(components: Strength["components"]): string {
  if (components.length === 0) return "No component of this machine identifies it.";
  const rows = components.map(({ type, weight, count }) => [type, `${count}`, `${weight}`]);
  return [
    formatTable(["COMPONENT", "COUNT", "POINTS"], rows),
    "",
    ...wrapText(
      "Points say how well a component tells this machine from others; a changed part takes its points away.",
    ),
  ].join("\n");
}

function sayWeak(): void {
  say("Weak means: a copy of this machine could not be told from it, as is normal in a cloud or a container.");
  say("Your vendor decides whether the host key alone is enough (--accept-weak).");
}

function sayUnreadable(types: readonly ComponentType[]): void {
  if (types.length > 0) say(`This user may not read ${types.join(", ")}; root may.`);
}

function absentAs<T>(code: SignetError["code"], value: T): (error: unknown) => T {
  return (error) => {
    if (error instanceof SignetError && error.code === code) return value;
    throw error;
  };
}
