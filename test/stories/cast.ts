import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import type { Machine } from "../helpers/machine.ts";
import { nativeLibrary } from "../helpers/native.ts";
import { type Background, Terminal } from "../helpers/terminal.ts";

/** Stories start many programs, one after another, on whatever machine they are told. */
export const storyTimeout = { timeout: 400_000 };

/** A step of a story. One that fails is named. */
export async function step<T>(title: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof Error) error.message = `${title}\n${error.message}`;
    throw error;
  }
}

/** The one way for files from the vendor to a host and back: commands call it $USB. */
export function useStick(): string {
  const stick = mkdtempSync(join(tmpdir(), "signet-usb-"));
  onTestFinished(() => rmSync(stick, { recursive: true, force: true }));
  return stick;
}

/** Somebody at the vendor's desk, whose keys are in `acme` and whose last description is `services.yaml`. */
export class Vendor extends Terminal {
  constructor(stick: string) {
    super("desk", { USB: stick, SIGNET_PASSPHRASE: "correct horse battery staple" });
  }

  /**
   * Writes services.yaml: `identity`, which gives back what it gets, and `faulty`, which takes as long as it is told.
   */
  describes(license: object, runs = 1000): void {
    const services = [
      { name: "identity", library: nativeLibrary("identity"), config: { datatype: "UINT8", shape: [-1] } },
      { name: "faulty", library: nativeLibrary("faulty") },
    ].map((service) => ({ ...service, limits: { runs, concurrency: 2 } }));
    const description = { customer: "Example GmbH", license, services };
    writeFileSync(join(this.directory, "services.yaml"), JSON.stringify(description));
  }

  /** Issues what services.yaml says for the request on the stick; the bundle goes there too. */
  async issues(request: string, bundle: string, ...flags: string[]): Promise<string> {
    const places = `--request $USB/${request} --services services.yaml --vendor acme --out $USB/${bundle}`;
    const issued = await this.types(["signet-license issue", places, "--accept-weak", ...flags].join(" "));
    return issued.out;
  }
}

/**
 * A customer's operator. Below the directory are the host's data, and two requests to send: hello.json and wait.json.
 */
export class Operator extends Terminal {
  constructor(stick: string, machine?: Machine) {
    super("host", { USB: stick, SIGNET_DATA: "data" }, machine);
    const hello = [{ name: "input", datatype: "UINT8", shape: [5], data: [...Buffer.from("hello")] }];
    writeFileSync(join(this.directory, "hello.json"), JSON.stringify({ inputs: hello }));
    const wait = [
      { name: "mode", datatype: "BYTES", shape: [1], data: ["sleep"] },
      { name: "amount", datatype: "INT64", shape: [1], data: [8000] },
    ];
    writeFileSync(join(this.directory, "wait.json"), JSON.stringify({ inputs: wait }));
  }

  /** Starts the server on a free port, and writes its address into the file `address` once it serves. */
  async serves(): Promise<Background> {
    const server = this.starts("signet serve --listen 127.0.0.1:0 --log-format pretty");
    const [, address] = await server.says(/serving address=(127\.0\.0\.1:\d+)/);
    writeFileSync(join(this.directory, "address"), address!);
    return server;
  }
}

/** What a client of the host types, in the operator's directory. */
const call = "--token-file token --server $(cat address)";
export const hello = `signet infer identity --raw hello.json ${call}`;
export const wait = `signet infer faulty --raw wait.json ${call}`;

/** How most stories begin: a vendor with keys, and a host with a license for 1000 runs and a client. */
export async function begin(vendor: Vendor, operator: Operator, license: object): Promise<void> {
  await vendor.types('signet-license vendor init --name "ACME Vision" --out acme && cp acme/root.pem $USB');
  await operator.types("signet host request --out $USB/host.req");
  vendor.describes(license);
  await vendor.issues("host.req", "bundle");
  await operator.types("signet trust add $USB/root.pem && signet license install $USB/bundle");
  await operator.types("signet access add --name web-shop --service identity --service faulty > token");
}

/** Waits until that many runs of a service are left, as the operator sees it. */
export async function untilLeft(operator: Operator, service: string, runs: number): Promise<void> {
  const status = async () => (await operator.types("signet license status")).out;
  await expect.poll(status, { timeout: 60_000 }).toMatch(new RegExp(`^${service} +1 +${runs} of`, "m"));
}
