export { type DataFormat, printData, runProgram, say } from "./output.ts";
export { formatFields, formatTable, wrapText } from "./text-layout.ts";
