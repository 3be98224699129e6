import { isDeepStrictEqual } from "node:util";
import { SignetError } from "../errors.ts";
import type { License, LicenseConf } from "./schema.ts";

/**
 * Both files name the services, their files and limits. They were issued together, so a difference means that
 * somebody's tool is wrong, and which of the two is meant cannot be known.
 *
 * @throws CONF_CONTRADICTS_LICENSE, CONF_INVALID
 */
export function verifyConfAgrees(license: License, conf: LicenseConf): void {
  for (const field of ["product", "licenseId", "sequence"] as const) {
    if (license[field] !== conf[field]) throw contradiction(field);
  }
  if (license.services.length !== conf.services.length) throw contradiction("services");
  for (const [index, licensed] of license.services.entries()) {
    const configured = conf.services[index]!;
    const where = `services.${licensed.name}`;
    if (licensed.name !== configured.name || licensed.version !== configured.version) throw contradiction(where);
    if (!isDeepStrictEqual(licensed.limits, configured.limits)) throw contradiction(`${where}.limits`);
    const files = configured.files.map(({ role: _, ...file }) => file);
    if (!isDeepStrictEqual(licensed.files, files)) throw contradiction(`${where}.files`);
    verifyRoles(where, configured.files);
  }
}

// The plugin is the last library to be loaded, after all it depends on, and there is one.
function verifyRoles(where: string, files: LicenseConf["services"][number]["files"]): void {
  const libraries = files.filter((file) => file.role !== "model").map((file) => file.role);
  if (libraries.at(-1) !== "library" || libraries.indexOf("library") !== libraries.length - 1) {
    throw new SignetError("CONF_INVALID", `license.conf: ${where}.files: expected dependencies, then one library`);
  }
}

function contradiction(field: string): SignetError {
  return new SignetError("CONF_CONTRADICTS_LICENSE", `${field}: differs between license.conf and license.lic`);
}
