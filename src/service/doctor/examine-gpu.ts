import { describeGpus, readGpus } from "../../engine/index.ts";
import type { LicenseStatus } from "../license-status.ts";
import type { Examination } from "./examine.ts";
import { Findings } from "./finding.ts";

/** The GPUs as NVIDIA's driver tells them. That there are none matters only to who needs one. */
export async function examineGpu(
  { around }: Examination,
  { status, needsGpu }: { readonly status: LicenseStatus | null; readonly needsGpu: boolean },
): Promise<Findings> {
  const findings = new Findings("GPU");
  const reading = await readGpus({ root: around.root });
  const found = describeGpus(reading);
  const isEnrolled = status?.hostMatch.parts.some(({ type }) => type === "gpu") ?? false;
  const wanted = [
    ...(needsGpu ? ["a licensed plugin needs a GPU"] : []),
    ...(isEnrolled ? ["the license recognizes this host by its GPUs"] : []),
  ].join(", and ");
  if (reading.reason === null) findings.ok("driver", found);
  else if (reading.gpus.length > 0)
    findings.note("driver", found, "Look at the kernel's log for the GPU that is missing.");
  else if (wanted !== "") {
    findings.problem("driver", `${found}; ${wanted}`, "Repair the NVIDIA driver, or pass it into the container.");
  } else if (reading.driverVersion === null && /^no NVIDIA driver/.test(reading.reason)) {
    findings.ok("driver", `${found}; nothing here needs one`);
  } else {
    findings.note("driver", `${found}; nothing here needs one`, null);
  }
  return findings;
}
