import { needsObstacle, type ServiceSettings } from "../config/index.ts";
import { SignetError } from "../errors.ts";
import type { ServiceConf } from "../license/index.ts";
import type { Needs } from "../store/index.ts";

/**
 * What each process of a service takes of this host: what its vendor declared, but for what the operator set. Nothing is
 * kept for a service of which neither says anything: it shares the processor and the memory that are there.
 * @throws CONFIG_INVALID where the two together make no sense
 */
export function needsOf(conf: ServiceConf, settings: ServiceSettings): Needs {
  const declared = { ...conf.needs, ...settings.needs };
  const obstacle = needsObstacle(declared);
  if (obstacle !== undefined) {
    throw new SignetError("CONFIG_INVALID", `services.${conf.name}.needs: together with its license, ${obstacle}`);
  }
  const { gpus = 0, gpuMemoryMiB = 0, cpuCores = 0, memoryMiB = 0 } = declared;
  return { gpus, gpuMemoryBytes: gpuMemoryMiB * 2 ** 20, cores: cpuCores, memoryBytes: memoryMiB * 2 ** 20 };
}
