export { type Deadline, Deadlines } from "./deadlines.ts";
export { monotonicNs } from "./monotonic.ts";
