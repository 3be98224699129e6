export {
  CONTROL_BYTES,
  controlOffsets,
  PLUGIN_SYMBOL,
  SIGNET_CANCELLED,
  SIGNET_OK,
  SIGNET_OUT_OF_RANGE,
} from "./abi.ts";
export { bubblewrapTrial, bubblewrapUnavailable, findBubblewrap } from "./bubblewrap.ts";
export { loadOrder, systemLibraries } from "./dependencies.ts";
export {
  type InstanceFacts,
  type PluginFacts,
  parseInstanceFacts,
  parsePluginFacts,
  pluginFactsSchema,
} from "./description.ts";
export { dieWithParent } from "./die-with-parent.ts";
export { readElf } from "./elf.ts";
export { exportedSymbols } from "./elf-symbols.ts";
export { probeSealedMemory, readKernelClock } from "./kernel-probe.ts";
export {
  closeOthersOnExec,
  createPipe,
  exchangeNames,
  exitNow,
  knock,
  lockExclusively,
} from "./libc.ts";
export { type InheritedFile, loadPlugin, type Plugin } from "./library.ts";
export { findNvml, type GpuReading, gpuReadingSchema, noGpus, readNvml } from "./nvml.ts";
export { type Card, CardReader, type CardReading, cardReadingSchema, noCards } from "./nvml-cards.ts";
export type { DeviceProcess } from "./nvml-library.ts";
export {
  PluginProbe,
  type ProbeInput,
  type ProbeModel,
  type ProbeOutput,
  type ProbeRun,
  type ProbeStatus,
  type ProbeText,
} from "./probe.ts";
export { openModel, type Spoiling, spoilModel } from "./probe-model.ts";
export { protectMemory } from "./protect-memory.ts";
export { Runner, type RunnerOptions } from "./runner.ts";
export { closeSandbox, readSandboxFacts, type Sandbox, type SandboxFacts, sandboxCommand } from "./sandbox.ts";
export { compareFile, readSealed, type SealedFile, SealedFiles } from "./sealed-file.ts";
export { alignTensor, type Progress, Slots, type SlotsLayout } from "./slots.ts";
export type { InputPlace, RunReply } from "./task-block.ts";
export {
  type FileRole,
  type ServiceFile,
  type VerifiedFiles,
  verifyFiles,
  verifyFilesAside,
} from "./verified-files.ts";
