import { createProgram } from "../../src/cli/main.ts";
import { runProgram } from "../../src/cli/output.ts";

/** The real `signet` program with one mistake in it, which is made when SIGUSR2 says so: `throws` or `rejects`. */
const [kind, ...args] = process.argv.slice(2);

process.on("SIGUSR2", () => {
  const mistake = Object.assign(new TypeError("a mistake that nobody foresaw"), { token: "sgn_not-for-logs" });
  if (kind === "throws") throw mistake;
  void Promise.reject(mistake);
});

await runProgram(createProgram(), args);
