import { Command } from "commander";
import type { ServerStatusMessage, ServiceStatusMessage } from "../../grpc/index.ts";
import { type ConnectionFlags, connectionFrom, withConnection } from "../connection.ts";
import { formatDuration } from "../format-duration.ts";
import { type DataFormat, printData } from "../output.ts";
import { plural } from "../plural.ts";
import { formatTable } from "../text-layout.ts";

type StatusOptions = DataFormat & ConnectionFlags;

/** The page is for a terminal; --json has all that are kept. */
const SHOWN_EVENTS = 8;
const MIB = 2 ** 20;

/** `signet status`: what a running server is and does. */
export function statusCommand(): Command {
  const command = new Command("status").description("Show what a running server is and does.").helpCommand(false);
  return withConnection(command)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
RUNNING counts calls and jobs, of how many at a time; WAITING only calls; JOBS
has those that run + those that are queued.

An operator sees the services it has a grant for, an admin all of them. What
happened last to a service comes at the end, newest last; \`signet logs\` tells
more. Exit code 0 whatever the state: programs read "ready" in --json.

Example:
  $ signet status --server inference.example.com --ca ca.crt --token-file token`,
    )
    .action(async (_, self: Command) => status(self.optsWithGlobals()));
}

async function status(options: StatusOptions): Promise<void> {
  const { AdminClient } = await import("../../grpc/index.ts");
  const client = new AdminClient(await connectionFrom(options));
  try {
    printData(await client.status(), options, formatStatus);
  } finally {
    client.close();
  }
}

function formatStatus(status: ServerStatusMessage): string {
  const { version, uptimeMs, ready, license, services } = status;
  const state = ready ? "ready" : "not ready";
  const head = [`signet ${version}, up ${formatDuration(uptimeMs)}, ${state}`];
  if (license !== null) {
    const { licenseId, sequence, phase, daysLeft, expires } = license;
    const until = phase === "valid" ? `expires ${expires.slice(0, 10)}, ${plural(daysLeft, "day")} left` : phase;
    head.push(`license ${licenseId}, sequence ${sequence}, ${until}`);
  }
  const parts = [head.join("\n"), formatServices(services), formatDevices(status), formatEvents(status)];
  return parts.filter((part) => part !== "").join("\n\n");
}

function formatServices(services: readonly ServiceStatusMessage[]): string {
  const table = formatTable(
    ["SERVICE", "STATE", "PID", "RUNNING", "WAITING", "JOBS", "MEMORY", "DEVICES", "RESTARTS", "RUNS LEFT"],
    services.map((service) => {
      const { name, state, pid, running, waiting, concurrency, jobs, memoryBytes, memoryLimitBytes } = service;
      return [
        name,
        state,
        pid === 0 ? "-" : `${pid}`,
        `${running}/${concurrency}`,
        `${waiting}`,
        jobs === null ? "?" : `${jobs.running}+${jobs.queued}`,
        `${Math.round(memoryBytes / MIB)}/${Math.round(memoryLimitBytes / MIB)} MiB`,
        service.devices.join(" ") || "-",
        `${service.restarts}`,
        service.runsLeft < 0 ? "unlimited" : `${service.runsLeft}`,
      ];
    }),
  );
  return [table, ...services.flatMap(noticesOf)].join("\n");
}

/** What an operator should know of a service; nothing where all is well. */
function noticesOf(service: ServiceStatusMessage): string[] {
  const { name, state, waitsFor, stuck, failing, memoryGrowing, endsInARow, lastError, logLinesDropped } = service;
  const notices: string[] = [];
  const why = lastError === null ? "" : `${lastError.code}: ${withoutName(name, lastError.message)}`;
  if (state === "quarantined") {
    notices.push(`ended ${endsInARow} times in a row, ${why}; to start it: signet service release ${name}`);
  } else if ((state === "backing-off" || state === "refused") && why !== "") notices.push(why);
  if (waitsFor !== "") notices.push(waitsFor);
  if (stuck > 0) notices.push(`${plural(stuck, "job")} whose heartbeat stands still`);
  if (failing) notices.push("its jobs fail one after another");
  if (memoryGrowing) notices.push("its memory grows towards the limit");
  if (logLinesDropped > 0) notices.push(`${logLinesDropped} lines that it printed were left out`);
  return notices.map((notice) => `! ${name}: ${notice}`);
}

function formatDevices({ devices }: ServerStatusMessage): string {
  if (devices.length === 0) return "";
  return formatTable(
    ["DEVICE", "MODEL", "MEMORY", "BUSY", "TEMPERATURE", "FAULT"],
    devices.map(({ name, model, totalBytes, usedBytes, utilizationPercent, temperatureC, fault }) => [
      name,
      model,
      `${Math.round(usedBytes / MIB)}/${Math.round(totalBytes / MIB)} MiB`,
      utilizationPercent < 0 ? "?" : `${utilizationPercent} %`,
      temperatureC < 0 ? "?" : `${temperatureC} °C`,
      fault,
    ]),
  );
}

function formatEvents({ events }: ServerStatusMessage): string {
  if (events.length === 0) return "";
  return formatTable(
    ["LAST", "SERVICE", "EVENT", "TIMES", "WHAT"],
    events.slice(-SHOWN_EVENTS).map(({ lastMs, service, kind, count, message }) => {
      const time = new Date(lastMs).toISOString().slice(0, 19).replace("T", " ");
      return [time, service, kind, `${count}`, withoutName(service, message)];
    }),
  );
}

/** Messages begin with the service, for whoever reads them alone. */
function withoutName(service: string, message: string): string {
  return message.startsWith(`${service}: `) ? message.slice(service.length + 2) : message;
}
