/** Words after which a secret stands, in what programs write for people: the names that redact() knows as keys. */
const NAMED =
  /\b(authorization|content[-_]?key|cookie|passphrase|password|passwd|private[-_]?key|secret|token)(["']?\s{0,4}[=:]\s{0,4})(?:(?:bearer|basic)\s{1,4})?("[^"]{0,1000}"|'[^']{0,1000}'|[^\s,;"']{1,1000})/gi;
/** Signet's own tokens, wherever they stand. */
const TOKEN = /\bsgn_[a-z0-9]{8}_[A-Za-z0-9_-]{43}/g;
/** `scheme://user:password@host`. */
const URL_PASSWORD = /(:\/\/[^\s/:@]{0,200}:)[^\s/@]{1,1000}@/g;
/** NVIDIA's serial numbers of cards and partitions, which a service's process has in its environment. */
const CARD = /\b(GPU|MIG)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/gi;

/**
 * A line of text that somebody else wrote, with what looks like a secret hidden. It is looked for by well-known names
 * and forms, so this is a net and no promise.
 */
export function redactText(line: string): string {
  return line
    .replace(TOKEN, "[secret]")
    .replace(CARD, "$1-[secret]")
    .replace(URL_PASSWORD, "$1[secret]@")
    .replace(NAMED, (_, name: string, between: string) => `${name}${between}[secret]`);
}
