import type { DataDirectory } from "../../config/index.ts";
import type { DoctorFinding } from "./finding.ts";
import type { Surroundings } from "./surroundings.ts";

/**
 * Takes out of the findings what says whose machine this is: where the data directory lies, the user's home, the
 * host's name, and addresses of other machines. Secrets never get into findings in the first place; this is for
 * what is merely nobody else's business, since a ticket is read by many.
 */
export function redactFindings(
  findings: readonly DoctorFinding[],
  { root }: DataDirectory,
  { home, hostname }: Surroundings,
): DoctorFinding[] {
  const redact = (text: string) => {
    let shown = replacePath(replacePath(text, root, "DATA"), home, "~");
    // Short names and "localhost" are words like others; taking them out would spoil sentences and hide nothing.
    if (hostname.length > 3 && hostname !== "localhost") shown = replaceWord(shown, hostname, "HOST");
    return shown
      .replace(/\b(?!127\.|0\.0\.0\.0)\d{1,3}(?:\.\d{1,3}){3}(?=:\d|\b(?!\.\d))/g, "ADDRESS")
      .replace(/\bsgn_[a-z0-9]{8}_[A-Za-z0-9_-]+/g, "TOKEN")
      .replace(/\b(?:GPU|MIG)-[0-9a-f]{8}[0-9a-f-]*/gi, "UUID");
  };
  return findings.map((finding) => ({
    ...finding,
    found: redact(finding.found),
    next: finding.next === null ? null : redact(finding.next),
  }));
}

/** The path itself and what lies below it, but not another that begins alike. */
function replacePath(text: string, path: string, by: string): string {
  return path.length < 2 ? text : text.replace(new RegExp(`${escapeRegExp(path)}(?![\\w.-])`, "g"), by);
}

function replaceWord(text: string, word: string, by: string): string {
  return text.replace(new RegExp(`(?<![\\w-])${escapeRegExp(word)}(?![\\w-])`, "g"), by);
}

function escapeRegExp(text: string): string {
  return text.replace(/[^\w\s]/g, "\\$&");
}
