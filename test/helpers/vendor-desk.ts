import { join } from "node:path";
import { expect } from "vitest";
import { openHostKey } from "../../src/license/index.ts";
import { startRun } from "../../src/license/start-run.fixture.ts";
import { openHostLedger } from "../../src/service/index.ts";
import { type OperatedHost, useBareHost, useDesk } from "./operator.ts";
import { type Ended, runProgram } from "./programs.ts";

const limits = { runs: 1000, runTimeMs: 36_000_000, concurrency: 2 };
let files = 0;

/** A path for a new file, beside the host's data directory: what its vendor has of the host, too. */
export function fresh(host: OperatedHost, name: string): string {
  return join(host.directory, `${++files}-${name}`);
}

export function expectDone(ended: Ended): Ended {
  expect(ended).toMatchObject({ exit: 0, code: "none" });
  return ended;
}

/** `signet-license` at the vendor's desk; issues need a passphrase, as do some others. */
export function vendor(...args: string[]): Ended {
  return runProgram("signet-license", args, { SIGNET_PASSPHRASE: "correct horse battery staple" });
}

/** The host's request to the vendor. */
export function request(host: OperatedHost): string {
  const file = fresh(host, "host.req");
  expectDone(host.signet("host", "request", "--out", file));
  return file;
}

/** Uses runs of the installed license, as a server that was then stopped. */
export async function spend(host: OperatedHost, licenseId: string, runs: number): Promise<void> {
  const ledger = await openHostLedger(host.data, await openHostKey(host.data.hostDir));
  for (let run = 0; run < runs; run++) ledger.settle(startRun(ledger, licenseId, "identity", limits));
  ledger.close();
}

/** A desk, and what its vendor does for hosts; to be called at the top of a file. */
export function useVendorDesk() {
  const desk = useDesk();
  const issue = (host: OperatedHost, terms?: object, ...flags: string[]): Ended & { readonly bundle: string } => {
    const bundle = fresh(host, "bundle");
    return { ...desk.issue(request(host), bundle, terms, ...flags, "--json"), bundle };
  };
  return {
    desk,
    acme: join(desk.directory, "acme"),
    issue,
    /** Issues for a host and installs it there. */
    license: (host: OperatedHost, terms?: object, ...flags: string[]): string => {
      const issued = issue(host, terms, ...flags);
      expectDone(issued);
      expectDone(host.signet("license", "install", issued.bundle));
      return JSON.parse(issued.out).licenseId;
    },
    /** A host with a key of its own that has pinned the vendor's root. */
    useFreshHost: (): OperatedHost => {
      const host = useBareHost();
      expectDone(host.signet("trust", "add", desk.root));
      return host;
    },
  };
}
