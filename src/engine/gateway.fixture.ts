import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { childrenOf } from "../../test/helpers/processes.ts";
import type { Sandbox } from "../plugin/index.ts";
import { SealedFiles, Slots } from "../plugin/index.ts";
import { HostProcess } from "./host-process.ts";

/**
 * A gateway that starts a service whose plugin never returns from create(), and holds the service's process before
 * that can do anything. It writes that process's pid, and waits to be killed.
 */
const [library, sandbox, root] = process.argv.slice(2) as [string, Sandbox, string];
void new HostProcess({
  service: "faulty",
  files: [{ name: "faulty", role: "library", fd: new SealedFiles().sealUnchecked(library, "faulty").fd }],
  config: { create: "loop" },
  threads: 1,
  slots: Slots.create({ count: 1, bytes: 4096, inputs: 0, outputs: 0 }),
  slotsInUseBytes: () => 0,
  onLook: () => {},
  startTimeoutMs: 600_000,
  gpus: [],
  memoryLimitBytes: Number.POSITIVE_INFINITY,
  home: mkdtempSync(join(root, "home-")),
  sandbox,
  onOutput: () => {},
});
const [child] = childrenOf(process.pid);
process.kill(child!, "SIGSTOP");
console.log(child);
