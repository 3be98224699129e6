export { type DataFormat, formatError, formatFields, formatTable, printData, runProgram, say } from "./output.ts";
