export { isFinal, type JobState, jobStateAfter, jobStates } from "./job-state.ts";
export { openStore, type StorePlace } from "./open-store.ts";
export type * from "./store.ts";
