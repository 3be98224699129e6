export { isFinal, type JobState, jobStateAfter, jobStates } from "./job-state.ts";
export type * from "./store.ts";
