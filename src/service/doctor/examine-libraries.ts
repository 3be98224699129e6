import { existsSync } from "node:fs";
import { join } from "node:path";
import { SignetError } from "../../errors.ts";
import { readElf, readSealed, type SealedFile, SealedFiles, systemLibraries } from "../../plugin/index.ts";
import type { AuthorizedService } from "../first-authorization.ts";
import { readInstalledLicense } from "../installed-license.ts";
import type { Examination } from "./examine.ts";
import type { LicenseExamination } from "./examine-license.ts";
import { Findings } from "./finding.ts";
import { listNames, readText, type Surroundings } from "./surroundings.ts";

/** The kernel maps it into every process; there is no file. */
const KERNEL_LIBRARY = "linux-vdso.so.1";
const NO_GPU_DRIVER = "Install the GPU's driver, or pass it into the container; the plugin was built for it.";

/** Every licensed file against its digests, all of them rather than up to the first that is wrong. */
export async function examineLibraries(
  examination: Examination,
  { first }: LicenseExamination,
): Promise<{ findings: Findings; needsGpu: boolean }> {
  const findings = new Findings("libraries");
  const needed =
    first === null ? await verifyEach(findings, examination) : await readVerified(findings, first.services);
  if (needed !== null) reportSystemLibraries(findings, needed, examination.around);
  return { findings, needsGpu: needed?.has("libcuda.so.1") ?? false };
}

/** First authorization has hashed them all already. Returns what they need of the system. */
async function readVerified(findings: Findings, services: readonly AuthorizedService[]): Promise<Set<string>> {
  const files = services.reduce((sum, { conf }) => sum + conf.files.length, 0);
  const bytes = services.reduce((sum, service) => sum + service.files.bytes, 0);
  findings.ok("digests", `${files} files with ${mebibytes(bytes)} MiB are byte for byte the signed ones`);
  return new Set(services.flatMap(({ files: verified }) => verified.sealed.flatMap(systemNeedsOf)));
}

/** What license.lic signs can be compared even where the license itself is refused. */
async function verifyEach(findings: Findings, { data }: Examination): Promise<Set<string> | null> {
  const signed = await readInstalledLicense(data).catch(() => null);
  if (signed === null) {
    findings.note("digests", "not compared: no license could be read", null);
    return null;
  }
  const needed = new Set<string>();
  let good = 0;
  for (const service of signed.license.services) {
    for (const expected of service.files) {
      const sealed = new SealedFiles();
      try {
        const file = sealed.seal(join(data.licenseDir, "files", service.name, expected.name), expected);
        for (const name of systemNeedsOf(file)) needed.add(name);
        good++;
      } catch (error) {
        findings.error(`${service.name}/${expected.name}`, error);
      } finally {
        sealed.keepOnly([]); // one file's memory at a time
      }
    }
  }
  if (good > 0) findings.ok("digests", `${good} files are byte for byte the signed ones`);
  return needed;
}

/** The libraries of the system that a file brings in; none for a model. */
function systemNeedsOf(file: SealedFile): string[] {
  try {
    return [...readElf(readSealed(file)).needed];
  } catch (error) {
    if (error instanceof SignetError) return [];
    throw error;
  }
}

/** Whether the loader would find them; nothing is loaded. */
function reportSystemLibraries(findings: Findings, needed: ReadonlySet<string>, around: Surroundings): void {
  const directories = loaderDirectories(around);
  // What the bundle brings along was resolved by first authorization; the rest has to be on this machine.
  const system = [...needed].filter((name) => systemLibraries.has(name) && name !== KERNEL_LIBRARY);
  const missing = system.filter((name) => !directories.some((each) => existsSync(join(around.root, each, name))));
  if (missing.length === 0) {
    findings.ok("system libraries", `all ${system.length} that plugins need are there`);
    return;
  }
  const next = missing.includes("libcuda.so.1") ? NO_GPU_DRIVER : "Install the packages that have them.";
  findings.problem("system libraries", `missing here: ${missing.join(", ")}`, next);
}

/** Where the dynamic loader looks: its built-in directories and those of ld.so.conf. */
function loaderDirectories(around: Surroundings): string[] {
  const triplet = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
  const configured = listNames(around, "etc/ld.so.conf.d").map((name) => readText(around, `etc/ld.so.conf.d/${name}`));
  const named = [readText(around, "etc/ld.so.conf"), ...configured]
    .flatMap((text) => (text ?? "").split("\n"))
    .map((line) => line.trim())
    .filter((line) => line.startsWith("/"));
  return [...named, ...["/lib", "/usr/lib"].flatMap((each) => [`${each}/${triplet}`, each, `${each}64`])];
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}
