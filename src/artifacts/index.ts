export type { Artifact, ArtifactPromise, ArtifactStore } from "./artifact-store.ts";
export { openArtifactStore } from "./open-artifact-store.ts";
