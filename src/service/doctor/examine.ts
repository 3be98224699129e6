import type { DataDirectory } from "../../config/index.ts";
import { examineAccess } from "./examine-access.ts";
import { examineDisk, examineFiles } from "./examine-files.ts";
import { examineGpu } from "./examine-gpu.ts";
import { examineKernel } from "./examine-kernel.ts";
import { examineLibraries } from "./examine-libraries.ts";
import { examineHost, examineLicense } from "./examine-license.ts";
import { type DoctorEdge, examineNetwork } from "./examine-network.ts";
import { examineRecords } from "./examine-records.ts";
import { examineRuntime } from "./examine-runtime.ts";
import { examineSystemd } from "./examine-systemd.ts";
import { type Area, type DoctorFinding, Findings } from "./finding.ts";
import { redactFindings } from "./redact-findings.ts";
import { realSurroundings, type Surroundings } from "./surroundings.ts";

export interface Examination {
  readonly data: DataDirectory;
  /** Undefined for the default place. */
  readonly configFile: string | undefined;
  readonly edge: DoctorEdge;
  readonly around: Surroundings;
}

export interface ExamineOptions {
  readonly data: DataDirectory;
  readonly configFile?: string | undefined;
  readonly edge: DoctorEdge;
  readonly around?: Partial<Surroundings>;
}

/**
 * Looks at everything that an operator would be asked for. Changes nothing, starts no plugin, runs no program of the
 * system, and works beside a running server. Never throws for what it finds: whatever is wrong is a finding, safe
 * to be pasted into a ticket.
 */
export async function examine({ data, configFile, edge, around }: ExamineOptions): Promise<DoctorFinding[]> {
  const examination: Examination = { data, configFile, edge, around: { ...realSurroundings(), ...around } };
  const license = await examineLicense(examination);
  const { status } = license;
  const clock = await guard("ledger", () => examineRecords(examination));
  let needsGpu = false;
  const libraries = await guard("libraries", async () => {
    const examined = await examineLibraries(examination, license);
    needsGpu = examined.needsGpu;
    return [examined.findings];
  });
  const sections = [
    ...[license.findings, examineHost(status), ...clock, ...libraries],
    ...(await guard("GPU", async () => [await examineGpu(examination, { status, needsGpu })])),
    ...(await guard("access", async () => [await examineAccess(examination)])),
    ...(await guard("network", async () => [
      await examineNetwork(examination, license.first?.authorized.license ?? null),
    ])),
    ...(await guard("files", async () => [await examineFiles(examination)])),
    ...(await guard("disk", async () => [await examineDisk(examination)])),
    ...(await guard("kernel", () => [examineKernel(examination)])),
    ...(await guard("runtime", () => [examineRuntime(examination)])),
    ...(await guard("systemd", () => [examineSystemd(examination)])),
  ];
  const findings = sections.flatMap(({ list }) => list);
  return redactFindings(findings, data, examination.around);
}

/** An area that cannot be examined must not hide the others. */
async function guard(area: Area, act: () => Findings[] | Promise<Findings[]>): Promise<Findings[]> {
  try {
    return await act();
  } catch (error) {
    const findings = new Findings(area);
    findings.error("examination", error);
    return [findings];
  }
}
