import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type DataDirectory, dataDirectory } from "../../src/config/index.ts";
import { MAX_MESSAGE_MIB, type Who } from "./calls.ts";
import type { Target } from "./connection.ts";

const root = join(import.meta.dirname, "..", "..");
const native = (name: string) => join(root, "build", "native", name);
const model = join(root, "node_modules", "@gutenye", "ocr-models", "assets", "ch_ppocr_mobile_v2.0_cls_infer.onnx");
const COMMAND_MS = 120_000;

export const services = ["identity", "metered", "direction", "faulty"] as const;
export type ServiceName = (typeof services)[number];

/** What a renewal changes. */
export interface Terms {
  /** Runs of `metered`, in all: few, so that they are used up now and then. */
  readonly meteredRuns: number;
  /** Another number needs another process. */
  readonly identityConcurrency: number;
  /** Needs nothing new, but clients see it. */
  readonly version: string;
}

export type Security = "none" | "tls" | "mtls";

/** A vendor, and this machine as the host of a customer; all through the real programs. */
export class SoakDesk {
  readonly data: DataDirectory;
  readonly tokens = {} as Record<Who, string | null>;
  licenseId = "";
  /** Of the license that was installed last. */
  sequence = 0;
  terms: Terms = { meteredRuns: 300, identityConcurrency: 2, version: "1" };
  readonly #place: string;
  #files = 0;

  constructor(place: string) {
    this.#place = place;
    mkdirSync(place, { recursive: true });
    this.data = dataDirectory(join(place, "data"));
  }

  async setUp(): Promise<void> {
    await this.#vendor("vendor", "init", "--name", "Soak", "--out", this.#at("vendor"));
    await this.signet("host", "request", "--out", this.#at("first.req"));
    await this.signet("trust", "add", this.#at("vendor/root.pem"));
    const issued = await this.#issue(this.#at("first.req"));
    this.licenseId = issued.licenseId;
    await this.#install(issued);
    const limits: Partial<Record<Who, string[]>> = { limited: ["--calls-per-second", "2"] };
    for (const who of ["patient", "hasty", "viewer", "limited"] as const) {
      const role = who === "viewer" ? "viewer" : "client";
      this.tokens[who] = (await this.addToken(who, role, limits[who])).token;
    }
    this.tokens.stranger = `sgn_aaaaaaaa_${"A".repeat(43)}`;
    await this.signet("certs", "init", "--name", "localhost", "127.0.0.1");
    await this.signet("certs", "client", "--name", "patient", "--out", this.#at("clients"));
    await this.signet("access", "add", "--name", "patient", "--certificate", this.#at("clients/patient.crt"));
  }

  /** The host asks, the vendor renews with other terms, the host installs. */
  async renew(terms: Partial<Terms>): Promise<void> {
    this.terms = { ...this.terms, ...terms };
    const request = this.#fresh("req");
    await this.signet("host", "request", "--out", request);
    await this.#install(await this.#issue(request, "--renew", this.licenseId));
  }

  /** The vendor withdraws a license that has nothing to do with this host, which gets the list. */
  async withdrawAnother(): Promise<void> {
    const list = this.#fresh("crl");
    await this.#vendor("revoke", "--license", randomUUID(), "--vendor", this.#at("vendor"), "--out", list);
    await this.signet("trust", "revocations", "add", list);
  }

  async addToken(name: string, role: string, more: string[] = []): Promise<{ id: string; token: string }> {
    return JSON.parse(await this.signet("access", "add", "--name", name, "--role", role, ...more, "--json"));
  }

  /** Writes the server's configuration, and says how clients reach a server that has it at an address. */
  configure(security: Security): (address: string) => Target {
    const { tlsDir } = this.data;
    const config = {
      maxMessageMiB: MAX_MESSAGE_MIB,
      drainMs: 5000,
      defaults: { slotMiB: 16, cancelGraceMs: 500 },
      services: { faulty: { memoryLimitMiB: 300, maxQueue: 8 } },
      ...(security === "none"
        ? {}
        : { tls: { cert: `${tlsDir}/server.crt`, key: `${tlsDir}/server.key`, clientCa: `${tlsDir}/ca.crt` } }),
    };
    writeFileSync(this.data.configFile, JSON.stringify(config));
    const caFile = security === "none" ? undefined : `${tlsDir}/ca.crt`;
    const pair = { certFile: this.#at("clients/patient.crt"), keyFile: this.#at("clients/patient.key") };
    return (address) => ({ address, caFile, ...(security === "mtls" ? pair : {}) });
  }

  /** Runs `signet` for this host and returns what it prints. @throws with its last words when it fails */
  signet(...args: string[]): Promise<string> {
    return run("signet", args, { SIGNET_DATA: this.data.root });
  }

  async #issue(request: string, ...how: string[]): Promise<{ licenseId: string; sequence: number; bundle: string }> {
    const bundle = this.#fresh("bundle");
    const description = this.#fresh("yaml");
    writeFileSync(description, JSON.stringify(describe(this.terms)));
    const from = ["--request", request, "--services", description, "--vendor", this.#at("vendor")];
    return JSON.parse(await this.#vendor("issue", ...from, "--out", bundle, "--accept-weak", "--json", ...how));
  }

  async #install({ bundle, sequence }: { readonly bundle: string; readonly sequence: number }): Promise<void> {
    await this.signet("license", "install", bundle);
    this.sequence = sequence;
    rmSync(bundle, { recursive: true }); // tens of megabytes
  }

  #vendor(...args: string[]): Promise<string> {
    return run("signet-license", args, { SIGNET_PASSPHRASE: "a passphrase for the soak" });
  }

  #at(name: string): string {
    return join(this.#place, name);
  }

  #fresh(ending: string): string {
    return this.#at(`${++this.#files}.${ending}`);
  }
}

function describe({ meteredRuns, identityConcurrency, version }: Terms) {
  const identity = { library: native("libsignet_identity.so"), version };
  const direction = {
    library: native("libsignet_onnxruntime.so"),
    dependencies: [native("libonnxruntime.so.1")],
    models: [model],
    config: { intraOpThreads: 1 },
  };
  return {
    customer: "A customer",
    license: { validDays: 30 },
    services: [
      { name: "identity", ...identity, limits: { runs: 1_000_000, concurrency: identityConcurrency } },
      { name: "metered", ...identity, limits: { runs: meteredRuns, concurrency: 1 } },
      { name: "direction", ...direction, limits: { concurrency: 1 } },
      {
        name: "faulty",
        library: native("libsignet_faulty.so"),
        limits: { runs: 100_000, jobTime: "2s", concurrency: 2 },
      },
    ],
  };
}

function run(program: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<string> {
  const options = { env: { PATH: process.env.PATH, ...env }, timeout: COMMAND_MS, maxBuffer: 64 << 20 };
  return new Promise((resolve, reject) => {
    execFile(join(root, "bin", program), args, options, (error, stdout, stderr) => {
      if (!error) resolve(stdout);
      else reject(new Error(`${program} ${args.slice(0, 2).join(" ")}: ${stderr.trim().split("\n").at(-1)}`));
    });
  });
}
