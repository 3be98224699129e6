import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { useDirectory } from "../../test/helpers/crooked.ts";
import { nativeLibrary } from "../../test/helpers/native.ts";
import { descendantsOf, isAlive } from "../../test/helpers/processes.ts";
import { sandboxes, skipWithout } from "../../test/helpers/sandboxes.ts";

const gatewayProgram = fileURLToPath(new URL("./gateway.fixture.ts", import.meta.url));

test.for(sandboxes)(
  "a service's process ends too where the gateway ended before it ran, with %s",
  async (sandbox, context) => {
    skipWithout(sandbox, context);
    const gateway = spawn(process.execPath, [gatewayProgram, nativeLibrary("faulty"), sandbox, useDirectory()]);
    const [line] = await once(gateway.stdout, "data");
    const child = Number(line);
    onTestFinished(() => {
      for (const pid of [gateway.pid!, ...descendantsOf(child), child]) if (isAlive(pid)) process.kill(pid, "SIGKILL");
    });
    expect(isAlive(child)).toBe(true);
    gateway.kill("SIGKILL");
    await once(gateway, "exit");
    process.kill(child, "SIGCONT");
    await expect.poll(() => isAlive(child), { timeout: 20_000 }).toBe(false);
  },
);
