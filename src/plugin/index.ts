export {
  type InstanceFacts,
  type PluginFacts,
  parseInstanceFacts,
  parsePluginFacts,
} from "./description.ts";
export { type ElfFacts, type LibraryFile, loadOrder, readElf, systemLibraries, verifyDependencies } from "./elf.ts";
export { exchangeNames, exitNow, lockExclusively } from "./libc.ts";
export { type InheritedFile, loadPlugin, type Plugin } from "./library.ts";
export { type InputPlace, type OutputPlace, Runner, type RunnerOptions, type RunReply } from "./runner.ts";
export { type ExpectedFile, type SealedFile, SealedFiles } from "./sealed-file.ts";
export { alignTensor, Slots } from "./slots.ts";
export { type FileRole, type ServiceFile, type VerifiedFiles, verifyFiles } from "./verified-files.ts";
