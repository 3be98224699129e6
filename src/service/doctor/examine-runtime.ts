import { readFileSync } from "node:fs";
import type { Examination } from "./examine.ts";
import { Findings } from "./finding.ts";
import { readText } from "./surroundings.ts";

/** Variables that bring code into a program before it can look. */
const codeVariables = ["LD_PRELOAD", "LD_AUDIT", "NODE_OPTIONS", "NODE_REPL_EXTERNAL_MODULE"];
/** Variables that change which code is found, or what it is told. */
const suspectVariable = /^(LD_|NODE_|GLIBC_TUNABLES$|OPENSSL_CONF$|OPENSSL_MODULES$)/;
const harmless = ["NODE_ENV", "NODE_NO_WARNINGS", "NODE_DISABLE_COLORS", "NODE_EXTRA_CA_CERTS"];
const codeFlags = /^(--inspect|--debug|--require|-r$|--import|--loader|--experimental-loader|--env-file)/;
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

  const names = Object.keys(around.env).filter((name) => around.env[name] !== undefined && around.env[name] !== "");
  const loading = names.filter((name) => codeVariables.includes(name));
  const suspect = names.filter(
    (name) => suspectVariable.test(name) && !loading.includes(name) && !harmless.includes(name),
  );
  const next = "Take them out of the environment of whoever starts the server.";
  if (loading.length > 0) findings.problem("environment", `loads other code: ${loading.join(", ")}`, next);
  if (suspect.length > 0) {
    findings.note("environment, search", `changes which code is found: ${suspect.join(", ")}`, next);
  }
  if (loading.length + suspect.length === 0) findings.ok("environment", "nothing that would change which code runs");

  const flags = around.execArgv.filter((flag) => codeFlags.test(flag)).map((flag) => flag.split("=")[0]!);
  if (flags.length > 0) findings.problem("flags of Node", flags.join(", "), "Start the server without them.");
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
