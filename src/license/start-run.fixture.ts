import type { Ledger, RunLimits } from "./ledger.ts";
import type { RunTicket } from "./ledger-meter.ts";

/** Charges a run, and starts it at once. It is apart from the other fixtures for programs outside of a test. */
export function startRun(ledger: Ledger, licenseId: string, service: string, limits: RunLimits): RunTicket {
  const ticket = ledger.charge(licenseId, service, limits);
  ledger.start(ticket);
  return ticket;
}
