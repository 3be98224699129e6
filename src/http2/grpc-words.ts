/** The little of gRPC over HTTP/2 that the direct route speaks itself. */

/** Canonical codes that the transport itself answers with. */
export const GrpcStatus = { OK: 0, DEADLINE_EXCEEDED: 4, RESOURCE_EXHAUSTED: 8, INTERNAL: 13 } as const;

const unitsMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 0.001, n: 0.000001 };

/** `grpc-timeout`: at most eight digits and a unit. @returns milliseconds; NaN where it is none */
export function parseTimeoutMs(text: string): number {
  const unit = unitsMs[text.charAt(text.length - 1)];
  if (unit === undefined || text.length < 2 || text.length > 9) return Number.NaN;
  let value = 0;
  for (let at = 0; at < text.length - 1; at++) {
    const digit = text.charCodeAt(at) - 48;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return value * unit;
}

/** `grpc-message`: UTF-8, where everything but printable ASCII, and the percent sign, is percent-encoded. */
export function encodeStatusMessage(text: string): string {
  if (/^[ -$&-~]*$/.test(text)) return text;
  let encoded = "";
  for (const byte of Buffer.from(text, "utf8")) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}
