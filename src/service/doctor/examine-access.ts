import { readTokens } from "../access-file.ts";
import type { Examination } from "./examine.ts";
import { Findings } from "./finding.ts";

const DAY_MS = 86_400_000;
const SOON_DAYS = 14;

/** How many tokens there are and how many are of no use. Names could be people's, so they are not told. */
export async function examineAccess({ data, around }: Examination): Promise<Findings> {
  const findings = new Findings("access");
  const tokens = await findings.attempt("tokens", () => readTokens(data.accessFile));
  if (tokens === null) return findings;
  const endings = tokens.flatMap(({ expires }) =>
    expires === null ? [] : [Date.parse(expires) - around.now.getTime()],
  );
  const expired = endings.filter((leftMs) => leftMs <= 0).length;
  const soon = endings.filter((leftMs) => leftMs > 0 && leftMs <= SOON_DAYS * DAY_MS).length;
  const found = tokens.length === 1 ? "1 token" : `${tokens.length} tokens`;
  if (tokens.length === expired) {
    const what = tokens.length === 0 ? "no tokens, so nobody can call" : `${found}, all expired, so nobody can call`;
    findings.note("tokens", what, "Make one with `signet access add --name NAME`.");
  } else if (expired + soon > 0) {
    const details = [
      ...(expired > 0 ? [`${expired} expired`] : []),
      ...(soon > 0 ? [`${soon} with at most ${SOON_DAYS} days left`] : []),
    ];
    findings.note("tokens", `${found}, ${details.join(", ")}`, "`signet access list` shows which.");
  } else {
    findings.ok("tokens", `${found}, none expired`);
  }
  return findings;
}
