export { type Deadline, Deadlines } from "./deadlines.ts";
