export const ORIGIN_EXPECTATION = "expected an origin as browsers send it, such as https://app.example, without a path";

/** Whether a browser can send this as the origin of a page: scheme, host in lower case, and a port that is not its own. */
export function isOrigin(text: string): boolean {
  return /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text;
}
