import { readFileSync } from "node:fs";
import { isUnsafeVariable, verifyLaunch } from "../../config/index.ts";
import type { Examination } from "./examine.ts";
import { Findings } from "./finding.ts";
import { readText } from "./surroundings.ts";

const NEEDED_FILES = 1024;

/** Node, its environment and limits: what decides which code runs. Names of variables only, never values. */
export function examineRuntime({ around }: Examination): Findings {
  const findings = new Findings("runtime");
  const pinned = pinnedNode();
  if (around.nodeVersion === pinned) findings.ok("Node", around.nodeVersion);
  else if (Number(around.nodeVersion.split(".")[0]) >= 24) {
    findings.note(
      "Node",
      `${around.nodeVersion}; tested with ${pinned}`,
      "Start through bin/signet, which uses that one.",
    );
  } else {
    findings.problem("Node", `${around.nodeVersion}; 24 or newer is needed`, "Run `npm run setup` and use bin/signet.");
  }

  const unsafe = Object.keys(around.env).filter((name) => around.env[name] && isUnsafeVariable(name));
  if (unsafe.length === 0) findings.ok("environment", "nothing that would bring in other code");
  else {
    const next = "Take them out of the environment of whoever starts the server; it refuses to start with them.";
    findings.problem("environment", `would bring in other code: ${unsafe.join(", ")}`, next);
  }
  try {
    verifyLaunch({ environ: "", nodeOptions: around.execArgv });
    findings.ok("options of Node", "as bin/signet gives them");
  } catch (error) {
    findings.error("options of Node", error);
  }
  if ((readText(around, "etc/ld.so.preload") ?? "") !== "") {
    findings.note("ld.so.preload", "loads code into every program of this machine", "Make sure that it is meant to.");
  }
  const files = /^Max open files\s+(\d+)/m.exec(readText(around, "proc/self/limits") ?? "")?.[1];
  if (files !== undefined && Number(files) < NEEDED_FILES) {
    findings.note(
      "open files",
      `at most ${files}`,
      `LimitNOFILE=${NEEDED_FILES * 64} in the unit allows more clients.`,
    );
  }
  return findings;
}

/** The version that package.json pins. */
function pinnedNode(): string {
  const manifest = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8"));
  return String(Object.values(manifest.optionalDependencies as Record<string, string>)[0]);
}
