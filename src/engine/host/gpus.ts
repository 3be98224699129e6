import { writeSync } from "node:fs";
import { exitNow, readNvml } from "../../plugin/index.ts";

// Asks the driver's library that is named as argument. It may print what it likes, so the answer has a pipe of its own.
const ANSWER_FD = 3;

writeSync(ANSWER_FD, JSON.stringify(readNvml(process.argv[2]!)));
// Threads and exit handlers of the driver are none of our concern.
exitNow(0);
