import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, onTestFinished } from "vitest";
import { type DataDirectory, dataDirectory } from "../../src/config/index.ts";
import { nativeLibrary } from "./native.ts";
import { type Ended, runProgram } from "./programs.ts";

const passphrase = { SIGNET_PASSPHRASE: "correct horse battery staple" };

/** A host of an operator, used through the real programs only. */
export interface OperatedHost {
  readonly directory: string;
  readonly data: DataDirectory;
  /** Runs `signet` with this host's data directory. */
  signet(...args: string[]): Ended;
}

/** A vendor and the bundle it issued for a host that has pinned its root; made once for a test file. */
export interface Desk {
  readonly directory: string;
  readonly root: string;
  /** A host like the first one, with the vendor's root pinned but no license yet. */
  useHost(): OperatedHost;
  /** A copy of the bundle for those hosts, to be changed. */
  useBundle(): string;
  /** Issues another bundle for them. */
  issue(request: string, out: string, license?: object, ...flags: string[]): Ended;
}

export const service = {
  name: "identity",
  version: "3",
  library: nativeLibrary("identity"),
  config: { datatype: "UINT8", shape: [-1] },
  limits: { runs: 1000, runTime: "10h", jobTime: "60s", concurrency: 2 },
};

/** Sets the desk up through `signet-license` and `signet` before the file's tests; to be called at its top. */
export function useDesk(): Desk {
  const directory = mkdtempSync(join(tmpdir(), "signet desk "));
  const root = join(directory, "acme", "root.pem");
  const first = hostAt(join(directory, "first"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  beforeAll(() => {
    const vendor = join(directory, "acme");
    expectEnd(runProgram("signet-license", ["vendor", "init", "--name", "ACME Vision", "--out", vendor], passphrase));
    expectEnd(first.signet("host", "request", "--out", join(directory, "host.req")));
    expectEnd(first.signet("trust", "add", root));
    expectEnd(issue(join(directory, "host.req"), join(directory, "bundle")));
  });

  function issue(request: string, out: string, license: object = { validDays: 30, graceDays: 5 }, ...flags: string[]) {
    const file = `${out}.services.yaml`;
    writeFileSync(file, JSON.stringify({ customer: "Example GmbH", license, services: [service] }));
    const places = ["--request", request, "--services", file, "--vendor", join(directory, "acme"), "--out", out];
    return runProgram("signet-license", ["issue", ...places, "--accept-weak", ...flags], passphrase);
  }

  return {
    directory,
    root,
    issue,
    useHost: () => {
      const host = useBareHost();
      cpSync(first.data.root, host.data.root, { recursive: true });
      return host;
    },
    useBundle: () => {
      const copy = join(useDirectory(), "bundle");
      cpSync(join(directory, "bundle"), copy, { recursive: true });
      return copy;
    },
  };
}

/** A host that nothing was done on yet. */
export function useBareHost(): OperatedHost {
  return hostAt(useDirectory());
}

function hostAt(directory: string): OperatedHost {
  const data = dataDirectory(join(directory, "data"));
  return { directory, data, signet: (...args) => runProgram("signet", args, { SIGNET_DATA: data.root }) };
}

function useDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "signet host "));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function expectEnd({ exit, err }: Ended): void {
  if (exit !== 0) throw new Error(err);
}
