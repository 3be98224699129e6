import { readAudit } from "../../audit/index.ts";
import type { DataDirectory } from "../../config/index.ts";
import { SignetError } from "../../errors.ts";
import { type HostKey, type LedgerState, openHostKey, verifyClock } from "../../license/index.ts";
import { readKernelClock } from "../../plugin/index.ts";
import { auditPlaceOf } from "../host-audit.ts";
import { readHostLedger } from "../host-ledger.ts";
import type { Examination } from "./examine.ts";
import { Findings } from "./finding.ts";
import { serverHoldingLedger } from "./server-process.ts";
import { listNames } from "./surroundings.ts";

/** A clock may be this far behind the ledger without a word: servers take turns within seconds, ms. */
const CLOCK_SLACK_MS = 120_000;
const MAX_ERROR_MS = 10_000;
const CLOCK_NEXT = "Set the clock right, and let timedatectl, chrony or the hypervisor keep it so.";

/** The ledger's chain, the clock against what it has seen, and the audit log's chain. */
export async function examineRecords(examination: Examination): Promise<Findings[]> {
  const clock = new Findings("clock");
  const ledger = new Findings("ledger");
  const audit = new Findings("audit");
  const { data } = examination;
  const hostKey = await openHostKey(data.hostDir).catch((error) => SignetError.from(error));
  if (hostKey instanceof SignetError) {
    ledger.note("chain", `not verified: ${hostKey.code}`, hostKey.next);
    audit.note("chain", `not verified: ${hostKey.code}`, hostKey.next);
  } else {
    const state = await ledger.attempt("chain", () => readHostLedger(data, hostKey));
    if (state !== null) reportLedger(ledger, state, examination);
    if (state !== null && state.sequence >= 0) reportClock(clock, state, examination.around.now.getTime());
  }
  if (!(hostKey instanceof SignetError)) await audit.attempt("chain", () => reportAudit(audit, data, hostKey));
  reportSynchronization(clock, examination);
  return [clock, ledger, audit];
}

async function reportAudit(audit: Findings, data: DataDirectory, hostKey: HostKey): Promise<void> {
  try {
    const { faults, records } = await readAudit(auditPlaceOf(data, hostKey));
    if (faults.length === 0) audit.ok("chain", `whole: ${records} records`);
    else
      audit.error(
        "chain",
        new SignetError("AUDIT_TAMPERED", `faults: ${faults.length}, the first: ${faults[0]!.what}`),
      );
  } catch (error) {
    const isNew = error instanceof SignetError && error.code === "AUDIT_MISSING" && hostKey.ledgerId === undefined;
    if (!isNew) throw error;
    audit.ok("chain", "none yet; the first license begins it");
  }
}

function reportLedger(ledger: Findings, state: LedgerState, examination: Examination): void {
  if (state.sequence < 0) {
    ledger.ok("chain", "none yet; the first `signet license install` begins it");
    return;
  }
  ledger.ok("chain", `whole: ${state.sequence + 1} records, continued from its anchors`);
  const server = serverHoldingLedger(examination);
  const leased = [...state.accounts()].reduce((sum, account) => sum + account.leased, 0);
  if (server !== null) ledger.ok("server", `in use by process ${server}`);
  else if (leased === 0) ledger.ok("server", "not in use");
  else
    ledger.note(
      "server",
      `not in use, with ${leased} runs leased by a server that did not end in order`,
      "Nothing to do: the next start charges them.",
    );
}

function reportClock(clock: Findings, state: LedgerState, nowMs: number): void {
  const behindMs = state.highWaterMs - nowMs;
  try {
    verifyClock(nowMs, state.highWaterMs);
  } catch (error) {
    clock.error("ledger", error);
    return;
  }
  if (behindMs > CLOCK_SLACK_MS) {
    const minutes = Math.round(behindMs / 60_000);
    clock.note("ledger", `${minutes} minutes behind the latest time the ledger has seen`, CLOCK_NEXT);
  } else {
    clock.ok("ledger", "not behind the latest time the ledger has seen");
  }
}

function reportSynchronization(clock: Findings, { around }: Examination): void {
  const kernel = readKernelClock();
  const keeper = listNames(around, "run/systemd/timesync").includes("synchronized") ? ", by systemd-timesyncd" : "";
  if (kernel === null) {
    clock.note("synchronization", "unknown: the kernel may not be asked here", null);
  } else if (!kernel.isSynchronized) {
    clock.note("synchronization", "nothing keeps this clock right, says the kernel", CLOCK_NEXT);
  } else if (kernel.maxErrorMs > MAX_ERROR_MS) {
    clock.note(
      "synchronization",
      `kept right, but may be wrong by ${Math.round(kernel.maxErrorMs / 1000)} s`,
      CLOCK_NEXT,
    );
  } else {
    clock.ok("synchronization", `kept right${keeper}`);
  }
}
