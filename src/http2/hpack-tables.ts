/** The static table of RFC 7541 Appendix A; index 1 is the first. An empty value stands for a name alone. */
export const staticTable: readonly (readonly [name: string, value: string])[] = [
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  [":status", "200"],
  [":status", "204"],
  [":status", "206"],
  [":status", "304"],
  [":status", "400"],
  [":status", "404"],
  [":status", "500"],
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ...[
    ...["accept-language", "accept-ranges", "accept", "access-control-allow-origin", "age", "allow", "authorization"],
    ...["cache-control", "content-disposition", "content-encoding", "content-language", "content-length"],
    ...["content-location", "content-range", "content-type", "cookie", "date", "etag", "expect", "expires", "from"],
    ...["host", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified"],
    ...["link", "location", "max-forwards", "proxy-authenticate", "proxy-authorization", "range", "referer", "refresh"],
    ...["retry-after", "server", "set-cookie", "strict-transport-security", "transfer-encoding", "user-agent", "vary"],
    ...["via", "www-authenticate"],
  ].map((name) => [name, ""] as const),
];

export const STATIC_ENTRIES = 61;
/** What an entry costs in a table beside its bytes (RFC 7541 section 4.1). */
export const ENTRY_OVERHEAD_BYTES = 32;
/** A table's size where settings say nothing else (RFC 9113 section 6.5.2). */
export const DEFAULT_TABLE_BYTES = 4096;
