import { type ErrorCode, SignetError } from "../../errors.ts";

/** SQLite's primary result codes that have a meaning for operators (sqlite.org/rescode.html). */
const codeOf: Readonly<Record<number, ErrorCode>> = {
  3: "STORE_UNAVAILABLE", // PERM
  5: "STORE_UNAVAILABLE", // BUSY
  6: "STORE_UNAVAILABLE", // LOCKED
  7: "STORE_UNAVAILABLE", // NOMEM
  8: "STORE_UNAVAILABLE", // READONLY
  10: "STORE_UNAVAILABLE", // IOERR
  11: "STORE_UNUSABLE", // CORRUPT
  13: "STORE_UNAVAILABLE", // FULL
  14: "STORE_UNAVAILABLE", // CANTOPEN
  15: "STORE_UNAVAILABLE", // PROTOCOL: too many who want its lock
  22: "STORE_UNAVAILABLE", // NOLFS
  23: "STORE_UNAVAILABLE", // AUTH
  26: "STORE_UNUSABLE", // NOTADB
};

/** What went wrong with a database file; what SQLite does not blame on the file is a mistake of ours. */
export function sqliteError(file: string, thrown: unknown): SignetError {
  if (thrown instanceof SignetError) return thrown;
  const { errcode, errstr } = thrown as { errcode?: unknown; errstr?: unknown };
  if (typeof errcode !== "number") return SignetError.from(thrown);
  const code = codeOf[errcode & 0xff];
  if (code === undefined) return SignetError.from(thrown);
  return new SignetError(code, `${file}: SQLite says: ${errstr}`, { cause: thrown });
}
