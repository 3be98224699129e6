export { type DataFormat, formatFields, formatTable, printData, runProgram, say } from "./output.ts";
