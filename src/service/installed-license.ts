import { join } from "node:path";
import type { DataDirectory } from "../config/index.ts";
import { loadTrustRoots, readLicenseFile, type SignedLicense, verifySignedLicense } from "../license/index.ts";

/**
 * The license that lies in the data directory, if a pinned vendor signed it; whether it holds here and now is for
 * authorizeFirst to say.
 *
 * @throws LICENSE_*, TRUST_ROOT_*, FILE_UNREADABLE
 */
export async function readInstalledLicense(data: DataDirectory): Promise<SignedLicense> {
  const file = await readLicenseFile(join(data.licenseDir, "license.lic"));
  return verifySignedLicense(file, await loadTrustRoots(data.trustDir));
}
