import type { JobSettings } from "../config/index.ts";
import { SignetError } from "../errors.ts";
import type { ArtifactStore } from "./artifact-store.ts";
import { DirectoryStore } from "./directory-store.ts";

/**
 * The store that the configuration names.
 * @param settings null for a directory
 * @param directory which one, made if need be; one process at a time may have it open
 * @throws STORE_UNAVAILABLE
 */
export async function openArtifactStore(settings: JobSettings["artifacts"], directory: string): Promise<ArtifactStore> {
  if (settings !== null) throw new SignetError("NOT_IMPLEMENTED", "jobs.artifacts.s3: is not there yet");
  return await DirectoryStore.open(directory);
}
