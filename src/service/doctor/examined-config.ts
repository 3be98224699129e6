import { statSync } from "node:fs";
import { loadConfig, type ServerConfig } from "../../config/index.ts";
import { SignetError } from "../../errors.ts";
import type { Examination } from "./examine.ts";

/**
 * The server's configuration; what is thrown tells nothing that was written there.
 * @throws CONFIG_INVALID, FILE_UNREADABLE
 */
export function loadExaminedConfig({ data, configFile }: Examination): ServerConfig {
  const file = configFile ?? data.configFile;
  verifyRegular(file);
  return withoutValues(() => loadConfig({ file, required: configFile !== undefined }));
}

/** The server may well read its configuration from a pipe, but somebody who looks for trouble must not wait on one. */
export function verifyRegular(path: string): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats?.isFile() !== false) return;
  throw new SignetError("FILE_UNREADABLE", `${path}: expected a regular file, found something else`);
}

/** Keys and lines may be told, but not what somebody wrote there: it could be a password in the wrong place. */
export function withoutValues<T>(act: () => T): T {
  try {
    return act();
  } catch (thrown) {
    const error = SignetError.from(thrown);
    const told = error.message
      .replace(/, found .*/s, "")
      // The YAML reader quotes the names of tags, anchors and whatever else it cannot place.
      .replace(/^(.*?:\d+: [^:"'`]*).*/s, "$1");
    throw new SignetError(error.code, told, { cause: thrown });
  }
}
