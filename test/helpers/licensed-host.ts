import { rmSync } from "node:fs";
import { cp, mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { onTestFinished } from "vitest";
import { type DataDirectory, dataDirectory, parseConfig } from "../../src/config/index.ts";
import { addTrustRoot, createHostKey, createHostRequest, openHostKey, readMachine } from "../../src/license/index.ts";
import { createVendor, type Vendor } from "../../src/license/vendor.fixture.ts";
import { type RunningServer, startServer } from "../../src/server.ts";
import { addToken, installBundle } from "../../src/service/index.ts";
import { createLog } from "../../src/telemetry/index.ts";
import { createLicenseNumber, issueLicense, type LicenseNumber } from "../../tools/license/issue-license.ts";
import { loadServiceDescription } from "../../tools/license/service-description.ts";
import { keySigner } from "../../tools/license/signer.ts";
import { nativeLibrary } from "./native.ts";
import { transportUnderTest } from "./transport.ts";

/** A service of a test's license, as a vendor writes it in services.yaml. */
export type DescribedService = Record<string, unknown> & { readonly name: string };

export const identityService: DescribedService = {
  name: "identity",
  library: nativeLibrary("identity"),
  config: { datatype: "UINT8", shape: [-1] },
  limits: { runs: 1000, concurrency: 2 },
};

export const faultyService: DescribedService = { name: "faulty", library: nativeLibrary("faulty") };

export interface LicensedHost {
  readonly data: DataDirectory;
  readonly vendor: Vendor;
  /** Issues another license for this host and puts it in the place of the present one. */
  relicense(services: readonly DescribedService[], license?: object, number?: LicenseNumber): Promise<void>;
  /**
   * Issues the next license of the same id, or another that is given, and installs it as `signet license install` does.
   */
  renew(services: readonly DescribedService[], license?: object, number?: LicenseNumber): Promise<void>;
}

/** This machine as a licensed host with a data directory of its own, which goes away with the test. */
export async function useLicensedHost(services: readonly DescribedService[], license?: object): Promise<LicensedHost> {
  const host = await createLicensedHost(services, license);
  onTestFinished(host.remove);
  return host;
}

/** The same for as long as the caller wants it, such as all tests of a file. */
async function createLicensedHost(
  services: readonly DescribedService[],
  license: object = { validDays: 30 },
): Promise<LicensedHost & { remove(): void }> {
  const root = await mkdtemp(join(tmpdir(), "signet-test-host-"));
  const data = dataDirectory(join(root, "data"));
  const vendor = createVendor();
  await createHostKey(data.hostDir);
  await addTrustRoot(data.trustDir, Buffer.from(vendor.root.certificate.toString()));

  let issued = 0;
  let last = createLicenseNumber();

  async function relicense(
    described: readonly DescribedService[],
    terms: object = license,
    number: LicenseNumber = createLicenseNumber(),
  ): Promise<void> {
    const bundle = await issue(described, terms, number);
    rmSync(data.licenseDir, { recursive: true, force: true });
    await mkdir(data.root, { recursive: true });
    await cp(bundle, data.licenseDir, { recursive: true });
  }

  async function renew(
    described: readonly DescribedService[],
    terms: object = license,
    number: LicenseNumber = { ...last, sequence: last.sequence + 1 },
  ): Promise<void> {
    await installBundle(data, await issue(described, terms, number));
  }

  async function issue(described: readonly DescribedService[], terms: object, number: LicenseNumber): Promise<string> {
    last = number;
    const file = join(root, "services.yaml");
    await writeFile(file, JSON.stringify({ customer: "A customer", license: terms, services: described }));
    const bundle = join(root, `bundle-${++issued}`);
    await issueLicense({
      request: Buffer.from(
        await createHostRequest({ hostKey: await openHostKey(data.hostDir), machine: await readMachine() }),
      ),
      description: await loadServiceDescription(file, new Date()),
      vendor: {
        vendor: { v: 1, name: "A vendor", rootKeyId: "", issuerKeyId: "" },
        root: vendor.root.certificate,
        issuer: vendor.issuer.certificate,
        signer: keySigner(vendor.issuer.key, vendor.issuer.certificate.publicKey, vendor.issuer.certificate),
      },
      number,
      acceptWeak: true,
      out: bundle,
      now: new Date(),
    });
    return bundle;
  }
  await relicense(services);
  return { data, vendor, relicense, renew, remove: () => rmSync(root, { recursive: true, force: true }) };
}

export interface ServingHost extends LicensedHost {
  readonly server: RunningServer;
  /** A client's token for every service. */
  readonly token: string;
  /** The server's log, parsed. */
  readonly log: readonly Record<string, unknown>[];
}

/** A licensed host with its server running in this process on a free port; both end with the test. */
export async function useServer(
  services: readonly DescribedService[],
  config: object = {},
  license?: object,
  driverRoot?: string,
): Promise<ServingHost> {
  const host = await startLicensedServer(services, config, license, driverRoot);
  onTestFinished(host.end);
  return host;
}

/** The same until `end` is called: for a describe whose tests share one server, from its beforeAll. */
export async function startLicensedServer(
  services: readonly DescribedService[],
  config: object = {},
  license?: object,
  /** A system with NVIDIA's driver (useFakeDriver); default this machine. */
  driverRoot?: string,
): Promise<ServingHost & { end(): Promise<void> }> {
  const host = await createLicensedHost(services, license);
  try {
    const { token } = await addToken(host.data.accessFile, {
      name: "test",
      role: "client",
      services: "all",
      expires: null,
    });
    const log: Record<string, unknown>[] = [];
    const destination = new Writable({
      write(line, _, done) {
        log.push(JSON.parse(String(line)));
        done();
      },
    });
    const server = await startServer({
      data: host.data,
      config: parseConfig({ listen: "127.0.0.1:0", ...transportUnderTest, ...config }, "test"),
      log: createLog({ level: "info", format: "json", destination }),
      ...(driverRoot === undefined ? {} : { driverRoot }),
    });
    const end = async () => {
      await server.stop();
      host.remove();
    };
    return { ...host, server, token: token.reveal(), log, end };
  } catch (error) {
    host.remove();
    throw error;
  }
}
