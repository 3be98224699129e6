export type { Artifact, ArtifactPromise, ArtifactStore } from "./artifact-store.ts";
