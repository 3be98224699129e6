import { formatDuration } from "../../src/cli/index.ts";
import type { HostRequest, License } from "../../src/license/index.ts";

/**
 * What the use that a request quotes means for the license just issued: a renewal that raised nothing gives the
 * customer nothing, and a new license where a renewal was meant gives everything once more.
 */
export function usageNotes(license: License, { ledger }: HostRequest, isRenewal: boolean): string[] {
  const used = Object.entries(ledger?.totals ?? {}).filter(([, { runs, runTimeMs }]) => runs > 0 || runTimeMs > 0);
  if (used.length === 0) return [];
  if (!isRenewal) {
    const services = used.map(([name, { runs }]) => `${name} ${runs}`).join(", ");
    return [
      `Note: this host has used a license before (runs: ${services}). This is a new one, which counts from 0.`,
      "To renew the old one instead, add --renew LICENSE with the host's present license.lic.",
    ];
  }
  return license.services.flatMap(({ name, limits }) => {
    const total = ledger?.totals[name];
    if (total === undefined) return [];
    const runs = remaining(name, limits.runs, total.runs, (value) => `${value} run${value === 1 ? "" : "s"}`);
    const runTime = remaining(name, limits.runTimeMs, total.runTimeMs, (value) => `${formatDuration(value)} run time`);
    return [...runs, ...runTime];
  });
}

function remaining(name: string, limit: number | null, used: number, format: (value: number) => string): string[] {
  if (limit === null) return [];
  const sum = `${name}: ${format(limit)}, ${format(used)} already used`;
  if (used < limit) return [`${sum}: ${format(limit - used)} left.`];
  return [`Warning: ${sum}: none left (limits count over the whole life of a license).`];
}
