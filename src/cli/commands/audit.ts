import { Command, InvalidArgumentError } from "commander";
import type { AuditRecord } from "../../audit/index.ts";
import { dataDirectory } from "../../config/index.ts";
import { SignetError } from "../../errors.ts";
import { type DataFormat, printData, say } from "../output.ts";
import { plural } from "../plural.ts";
import { formatTable } from "../text-layout.ts";

interface GlobalOptions extends DataFormat {
  readonly data?: string;
}

interface ShowOptions extends GlobalOptions {
  readonly since?: Date;
  readonly code?: string;
  readonly event?: string;
  readonly last?: number;
}

/** `signet audit`: what was licensed, verified, refused and changed on this host. */
export function auditCommand(): Command {
  const command = new Command("audit")
    .description("Show and verify the log of what was licensed, verified, refused and changed on this host.")
    .helpCommand(false);

  command
    .command("show")
    .description("Print the records, oldest first.")
    .option("--since <time>", "from this time on, for example 2030-12-31 or 2030-12-31T12:00:00Z", parseTime)
    .option("--code <code>", "only those with this error code")
    .option("--event <event>", "only this event, for example call.refused; call. for all that begin so")
    .option("--last <count>", "only the newest", parseCount)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Reads the archived segments too. A record whose MAC is wrong is shown with a
mark; \`signet audit verify\` says more.

Example:
  $ signet audit show --since 2030-12-31 --event call.refused`,
    )
    .action(async (_, self: Command) => show(self.optsWithGlobals()));

  command
    .command("verify")
    .description("Verify that no record was changed, removed, added or moved, and that the end is not missing.")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Changes nothing and works beside a running server. Exit code 3 when something is
wrong. Archived segments that were moved away are not missed as long as those
that are here follow each other.`,
    )
    .action(async (_, self: Command) => verify(self.optsWithGlobals()));

  return command;
}

async function openPlace(options: GlobalOptions) {
  const { auditPlaceOf } = await import("../../service/index.ts");
  const { openHostKey } = await import("../../license/index.ts");
  const data = dataDirectory(options.data);
  return auditPlaceOf(data, await openHostKey(data.hostDir));
}

async function show(options: ShowOptions): Promise<void> {
  const { readAudit } = await import("../../audit/index.ts");
  const { since, code, event, last } = options;
  let records: (AuditRecord & { isWhole: boolean })[] = [];
  const { faults } = await readAudit(await openPlace(options), (record, isWhole) => {
    if (since && Date.parse(record.time) < since.getTime()) return;
    if (code !== undefined && record.code !== code) return;
    if (event !== undefined && record.event !== event && !(event.endsWith(".") && record.event.startsWith(event)))
      return;
    records.push({ ...record, isWhole });
  });
  if (last !== undefined) records = records.slice(-last);
  if (records.length === 0) say("No record is like that; `signet audit show` without options shows all.");
  printData(records, options, (all) =>
    all.length === 0
      ? ""
      : formatTable(
          ["TIME", "EVENT", "CODE", "BY", "DETAIL"],
          all.map(({ time, event: name, code: found = "", by, detail = {}, isWhole }) => [
            time,
            isWhole ? name : `${name} (CHANGED)`,
            found,
            by,
            Object.entries(detail)
              .filter(([key, value]) => value !== null && key !== "p")
              .map(([key, value]) => `${key}=${Array.isArray(value) ? value.join(",") : value}`)
              .join(" "),
          ]),
        ),
  );
  if (faults.length > 0) say(`The log has ${plural(faults.length, "fault")}; \`signet audit verify\` lists them.`);
}

async function verify(options: GlobalOptions): Promise<void> {
  const { readAudit } = await import("../../audit/index.ts");
  const reading = await readAudit(await openPlace(options));
  const { faults, records, first, last } = reading;
  printData({ holds: faults.length === 0, ...reading }, options, () =>
    [
      `${records} records, ${first ?? "none"} to ${last ?? "none"}`,
      ...faults.map(({ file, line, what }) => `✗ ${file}${line === null ? "" : ` line ${line}`}: ${what}`),
    ].join("\n"),
  );
  const [worst] = faults;
  if (worst)
    throw new SignetError(
      "AUDIT_TAMPERED",
      `${worst.file}: ${plural(faults.length, "fault")}, the first: ${worst.what}`,
    );
  say("The log is whole.");
}

function parseTime(text: string): Date {
  const time = new Date(text);
  if (!/^\d{4}-\d{2}-\d{2}/.test(text) || Number.isNaN(time.getTime())) {
    throw new InvalidArgumentError("Expected a time such as 2030-12-31 or 2030-12-31T12:00:00Z.");
  }
  return time;
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) throw new InvalidArgumentError("Expected a whole number from 1.");
  return count;
}
