import type { FingerprintMatch, MatchedPart } from "./fingerprint.ts";

/**
 * How this machine differs from the licensed one, in words. The log, the commands and the refusal all take theirs
 * from here, so that an operator reads the same of the same change everywhere. Types and counts only, never values.
 */

/** What to do about drift that is still within the tolerance. */
export const DRIFT_NEXT = "Send a fresh `signet host request` to your vendor to renew, before more changes.";

/** One clause for drift within the tolerance; null where every enrolled part is still there. */
export function describeDrift(match: FingerprintMatch): string | null {
  const changes = describeChanges(match);
  if (changes === null || !match.isMatch) return null;
  return `hardware differs from the license, within its tolerance: ${changes}; ${describePoints(match)}`;
}

/** Why this machine is not the licensed one, as the text of FINGERPRINT_MISMATCH. */
export function describeMismatch(match: FingerprintMatch): string {
  const { matchedTypes, minTypes, isClone } = match;
  const reasons = [
    describePoints(match),
    ...(matchedTypes.length < minTypes ? [`${minTypes} types must match, ${matchedTypes.length} do`] : []),
    ...(isClone ? ["a virtual machine with another system-uuid is a copy"] : []),
    ...(describeChanges(match) === null ? [] : [`differs: ${describeChanges(match)}`]),
  ];
  return `this machine is not the licensed one: ${reasons.join("; ")}`;
}

/** How this machine compares with the licensed one, whichever way it went. */
export function describeHostMatch(match: FingerprintMatch): string {
  if (!match.isMatch) return describeMismatch(match);
  return describeDrift(match) ?? `this machine is the licensed one: ${describePoints(match)}`;
}

/** `15 of 21 points match, 13 needed` */
export function describePoints({ matchedWeight, enrolledWeight, threshold }: FingerprintMatch): string {
  return `${matchedWeight} of ${enrolledWeight} points match, ${threshold} needed`;
}

/** `disk, nic (1 of 2 left), board-serial (this user may not read it, root may)`; null where nothing changed. */
function describeChanges({ parts, unreadableTypes }: FingerprintMatch): string | null {
  const changed = parts.filter(({ enrolled, present }) => present < enrolled);
  if (changed.length === 0) return null;
  return changed.map((part) => describePart(part, unreadableTypes.includes(part.type))).join(", ");
}

function describePart({ type, enrolled, present, countsInFull }: MatchedPart, isUnreadable: boolean): string {
  const details = [
    ...(isUnreadable ? ["this user may not read it, root may"] : []),
    ...(enrolled > 1 ? [`${present} of ${enrolled} left${countsInFull ? ", which counts in full" : ""}`] : []),
  ];
  return details.length === 0 ? type : `${type} (${details.join("; ")})`;
}
