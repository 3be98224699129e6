import { release } from "node:os";
import { findBubblewrap, probeSealedMemory } from "../../plugin/index.ts";
import type { Examination } from "./examine.ts";
import { loadExaminedConfig } from "./examined-config.ts";
import { Findings } from "./finding.ts";
import { readText } from "./surroundings.ts";

/** What plugins and their isolation need of the kernel, and what would weaken them. */
export function examineKernel(examination: Examination): Findings {
  const { around } = examination;
  const findings = new Findings("kernel");
  const value = (path: string) => readText(around, `proc/sys/${path}`);

  const refusal = probeSealedMemory();
  if (refusal === null) findings.ok("sealed memory", `made, sealed and mapped as code (Linux ${release()})`);
  else {
    const next = "Linux 3.17 or newer is needed, and no security policy that forbids code in memory files.";
    findings.problem("sealed memory", refusal, next);
  }

  const noexec = value("vm/memfd_noexec");
  if (noexec === null) findings.ok("memfd_noexec", "not known to this kernel");
  else findings.ok("memfd_noexec", `${noexec}; plugins need no executable memory files`);

  const actions = value("kernel/seccomp/actions_avail")?.split(" ") ?? [];
  if (actions.includes("errno")) findings.ok("seccomp", "filters are available");
  else findings.note("seccomp", "no filters, so plugins can make every system call", "Use a kernel with seccomp.");

  const lsm = readText(around, "sys/kernel/security/lsm")?.split(",") ?? null;
  if (lsm?.includes("landlock")) findings.ok("landlock", "available");
  else findings.ok("landlock", lsm === null ? "unknown: securityfs is not visible here" : "not enabled in this kernel");

  const isForbidden =
    value("kernel/unprivileged_userns_clone") === "0" || value("kernel/apparmor_restrict_unprivileged_userns") === "1";
  const hasNone = Number(value("user/max_user_namespaces") ?? 0) === 0;
  reportBubblewrap(findings, examination, hasNone || (isForbidden && around.uid !== 0));

  const ptrace = value("kernel/yama/ptrace_scope");
  if (ptrace !== null && ptrace !== "0") findings.ok("ptrace_scope", ptrace);
  else {
    const found = ptrace === null ? "Yama is not in this kernel" : "0";
    const next = "Programs of the same user could read the server's memory: keep that user to itself.";
    findings.note("ptrace_scope", found, next);
  }
  reportCoreDumps(findings, value("kernel/core_pattern"), readText(around, "proc/self/limits"));
  return findings;
}

/** bubblewrap is only looked at, not run; the server tries it at its start. */
function reportBubblewrap(findings: Findings, examination: Examination, isForbidden: boolean): void {
  const report = (check: string, found: string, next: string) => {
    if (asksForBubblewrap(examination)) findings.problem(check, `${found}, but signet.yaml has sandbox: bwrap`, next);
    else findings.ok(check, `${found}; only sandbox: bwrap needs that`);
  };
  const nextBest = "or set sandbox: seccomp.";
  if (!isForbidden) findings.ok("user namespaces", "allowed");
  else report("user namespaces", "not allowed for the server's user", `Allow them for bubblewrap, ${nextBest}`);
  const found = findBubblewrap(examination.around.root);
  if (found.path !== null) findings.ok("bubblewrap", found.path);
  else report("bubblewrap", found.reason, `Install the package bubblewrap, ${nextBest}`);
}

function asksForBubblewrap(examination: Examination): boolean {
  try {
    const { defaults, services } = loadExaminedConfig(examination);
    return [defaults, ...Object.values(services)].some(({ sandbox }) => sandbox === "bwrap");
  } catch {
    return false; // a problem of its own, told with the network
  }
}

/** A core dump holds the content of models and keys. */
function reportCoreDumps(findings: Findings, pattern: string | null, limits: string | null): void {
  const limit = /^Max core file size\s+(\S+)/m.exec(limits ?? "")?.[1];
  // A pipe gets the dump whatever the limit says, as long as it is not 0 for good.
  const isPiped = pattern?.startsWith("|") ?? false;
  if (pattern === null) findings.ok("core dumps", "unknown: the kernel does not say");
  else if (limit === "0" && !isPiped) findings.ok("core dumps", "off");
  else {
    const found = isPiped ? "handed to a program by the kernel" : `written to files of up to ${limit} bytes`;
    const next = "LimitCORE=0 in the unit keeps memory out of dumps that something else started here would write.";
    findings.note("core dumps", found, next);
  }
}
