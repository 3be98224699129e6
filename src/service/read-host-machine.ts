import { readGpus } from "../engine/index.ts";
import { type Machine, readMachine } from "../license/index.ts";

/**
 * What identifies this machine, for requests and for verifying alike: both must see the same. NVIDIA's driver is
 * asked for GPUs where the kernel's files name none, as in containers that do not get /proc/driver/nvidia.
 */
export function readHostMachine(root = "/"): Promise<Machine> {
  return readMachine({
    root,
    askNvidia: async () => {
      const { gpus, isForbidden } = await readGpus({ root });
      return { uuids: gpus.map(({ uuid }) => uuid), isForbidden };
    },
  });
}
