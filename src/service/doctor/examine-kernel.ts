import { release } from "node:os";
import { probeSealedMemory } from "../../plugin/index.ts";
import type { Examination } from "./examine.ts";
import { Findings } from "./finding.ts";
import { readText } from "./surroundings.ts";

/** What plugins and their isolation need of the kernel, and what would weaken them. */
export function examineKernel({ around }: Examination): Findings {
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

  const namespaces = Number(value("user/max_user_namespaces") ?? 0);
  const isForbidden =
    value("kernel/unprivileged_userns_clone") === "0" || value("kernel/apparmor_restrict_unprivileged_userns") === "1";
  if (namespaces > 0 && !isForbidden) findings.ok("user namespaces", "allowed");
  else findings.ok("user namespaces", "not allowed for ordinary users; only the bwrap sandbox would need them");

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
