import type { ErrorCode, SignetError } from "../errors.ts";

/**
 * First authorization as a list for people, in the order authorizeFirst takes the steps. A step is known by the codes
 * it refuses with; a code that two steps could give belongs to the earlier, so that no step is called passed that
 * was not.
 */
export const authorizationSteps = [
  { step: "license.lic can be read", codes: ["LICENSE_MISSING", "LICENSE_TOO_LARGE"] },
  { step: "license.lic is a signed envelope", codes: ["LICENSE_MALFORMED"] },
  { step: "a vendor's root is pinned", codes: ["TRUST_ROOT_MISSING", "TRUST_ROOT_INVALID"] },
  { step: "its issuer's certificate chains to a pinned root", codes: ["LICENSE_UNTRUSTED"] },
  { step: "its signature is by that issuer", codes: ["LICENSE_SIGNATURE_INVALID"] },
  { step: "every field is understood", codes: ["LICENSE_PAYLOAD_INVALID"] },
  { step: "it is for Signet", codes: ["LICENSE_WRONG_PRODUCT"] },
  { step: "revocation lists are genuine", codes: ["REVOCATION_LIST_INVALID"] },
  {
    step: "this host has its key",
    codes: ["HOST_KEY_MISSING", "HOST_KEY_LOST", "HOST_KEY_UNSAFE", "HOST_KEY_INVALID"],
  },
  { step: "revocation lists are the newest seen here", codes: ["REVOCATION_LIST_SUPERSEDED"] },
  { step: "it was not withdrawn", codes: ["LICENSE_REVOKED"] },
  { step: "no newer one was used here", codes: ["LICENSE_SUPERSEDED"] },
  { step: "it was not given back here", codes: ["LICENSE_DEACTIVATED"] },
  { step: "the clock is not far behind", codes: ["CLOCK_SET_BACK"] },
  { step: "its time is now", codes: ["LICENSE_NOT_YET_VALID", "LICENSE_EXPIRED"] },
  { step: "it was issued for this host's key", codes: ["HOST_KEY_MISMATCH"] },
  { step: "this machine is the licensed one", codes: ["FINGERPRINT_MISMATCH"] },
  { step: "license.conf is beside it", codes: ["CONF_MISSING"] },
  { step: "license.conf is the one it was signed for", codes: ["CONF_DIGEST_MISMATCH"] },
  { step: "license.conf can be decrypted and understood", codes: ["CONF_UNDECIPHERABLE", "CONF_INVALID"] },
  { step: "license.conf and license.lic agree", codes: ["CONF_CONTRADICTS_LICENSE"] },
  {
    step: "the usage ledger is whole, and this host's",
    codes: ["LEDGER_BUSY", "LEDGER_MISSING", "LEDGER_TAMPERED", "LEDGER_ROLLED_BACK", "LEDGER_UNWRITABLE"],
  },
  {
    step: "every library and model is the one signed",
    codes: [
      ...["LIBRARY_MISSING", "LIBRARY_NOT_REGULAR", "LIBRARY_DIGEST_MISMATCH", "LIBRARY_DEPENDENCY_UNCOVERED"],
      ...["LIBRARY_UNSEALABLE", "PLUGIN_INCOMPATIBLE"],
    ],
  },
] as const satisfies readonly { readonly step: string; readonly codes: readonly string[] }[];

export interface StepReport {
  readonly step: string;
  readonly state: "passed" | "refused" | "not reached";
  /** Why it was refused. */
  readonly code: ErrorCode | null;
}

/** How far first authorization came, from what it threw. What belongs to no step, such as a file error, gives none. */
export function reportSteps(refusal: SignetError | null): StepReport[] {
  const steps: readonly { readonly step: string; readonly codes: readonly string[] }[] = authorizationSteps;
  if (refusal === null) return steps.map(({ step }) => ({ step, state: "passed", code: null }));
  const refused = steps.findIndex(({ codes }) => codes.includes(refusal.code));
  if (refused < 0) return [];
  return steps.map(({ step }, index) => {
    if (index === refused) return { step, state: "refused", code: refusal.code };
    return { step, state: index < refused ? "passed" : "not reached", code: null };
  });
}
