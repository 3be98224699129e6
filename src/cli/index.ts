export { formatDuration } from "./format-duration.ts";
export { type DataFormat, printData, runProgram, say } from "./output.ts";
export { durationExamples, parseDuration } from "./parse-duration.ts";
export { plural } from "./plural.ts";
export { formatFields, formatTable, terminalColumns, wrapText } from "./text-layout.ts";
