import pg from "pg";
import { SignetError } from "../../errors.ts";

/** Classes of SQLSTATE that mean the database cannot at the moment, or does not let us in. */
const unavailable = ["08", "25", "28", "3D", "42501", "53", "55", "57", "58"];
/** The files of the database are damaged. */
const unusable = ["XX001", "XX002"];

/** What went wrong with a database. Its messages have no password; what else is thrown is a mistake of ours. */
export function postgresError(thrown: unknown): SignetError {
  if (thrown instanceof SignetError) return thrown;
  const code = stateOf(thrown);
  if (unusable.some((state) => code.startsWith(state))) return fromDatabase("STORE_UNUSABLE", thrown);
  if (thrown instanceof pg.DatabaseError && !unavailable.some((state) => code.startsWith(state))) {
    return SignetError.from(thrown);
  }
  if (thrown instanceof pg.DatabaseError || isOfConnection(thrown)) return fromDatabase("STORE_UNAVAILABLE", thrown);
  return SignetError.from(thrown);
}

/** Whether the database undid a transaction only because of another one, so that it can be run again. */
export function mayRunAgain(thrown: unknown): boolean {
  return thrown instanceof pg.DatabaseError && ["40001", "40P01"].includes(stateOf(thrown));
}

function stateOf(thrown: unknown): string {
  const { code } = thrown as { code?: unknown };
  return typeof code === "string" ? code : "";
}

/** Sockets have codes such as ECONNREFUSED; what pg says itself of a connection has no code and these words. */
function isOfConnection(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false;
  return (
    /^E[A-Z]+|^CERT_|^UNABLE_TO|SELF_SIGNED|^ERR_(TLS|SSL)/.test(stateOf(thrown)) ||
    /connection|connect|SASL|SSL|timeout/i.test(thrown.message)
  );
}

function fromDatabase(code: "STORE_UNAVAILABLE" | "STORE_UNUSABLE", thrown: unknown): SignetError {
  return new SignetError(code, `PostgreSQL: ${wordsOf(thrown)}`, { cause: thrown });
}

/** Of a name with several addresses Node tries all, and puts what each said into a list. */
function wordsOf(thrown: unknown): string {
  if (thrown instanceof AggregateError) return thrown.errors.map(wordsOf).join("; ");
  return thrown instanceof Error ? thrown.message : String(thrown);
}
