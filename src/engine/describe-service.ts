import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FileRole, SealedFiles, Slots } from "../plugin/index.ts";
import { type HostFacts, HostProcess } from "./host-process.ts";

export interface ServiceDescription {
  /** For messages. Default "plugin". */
  readonly name?: string;
  /** In load order. */
  readonly files: readonly { readonly name: string; readonly role: FileRole; readonly path: string }[];
  readonly config: unknown;
  /** Whether its instance is made on a GPU, the first of this machine. */
  readonly needsGpu?: boolean;
  /** Default 60,000. */
  readonly startTimeoutMs?: number;
}

/**
 * Starts a plugin in a service host of its own, asks what it and its model are, and ends it. The files are
 * taken as they are: this is for the vendor's desk and for `signet plugin check`, not for serving.
 * @throws SERVICE_START_FAILED, PLUGIN_INCOMPATIBLE, and what sealing throws
 */
export async function describeService(description: ServiceDescription): Promise<HostFacts> {
  const sealed = new SealedFiles();
  const home = mkdtempSync(join(tmpdir(), "signet-describe-"));
  const host = new HostProcess({
    service: description.name ?? "plugin",
    files: description.files.map(({ name, role, path }) => ({
      name,
      role,
      fd: sealed.sealUnchecked(path, name).fd,
    })),
    config: description.config,
    // Nothing is run: no room for tensors is needed, and nobody knows yet how many there are.
    threads: 1,
    slots: Slots.create({ count: 1, bytes: 4096, inputs: 0, outputs: 0 }),
    slotsInUseBytes: () => 0,
    onLook: () => {},
    startTimeoutMs: description.startTimeoutMs ?? 60_000,
    gpus: description.needsGpu ? "all" : [],
    memoryLimitBytes: Number.POSITIVE_INFINITY,
    home,
    onOutput: () => {},
  });
  try {
    const facts = await host.ready;
    await host.stop();
    return facts;
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
