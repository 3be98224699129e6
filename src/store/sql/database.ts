/**
 * What the store needs of a database. The verbs are written once over this, in SQL that SQLite and PostgreSQL both
 * understand; the little that differs is a `Dialect`.
 */
export interface Database {
  readonly dialect: Dialect;
  /**
   * Runs a verb in a transaction that waits until it is on the disk. What the verb throws undoes all that it did, and
   * reaches the caller. It may be run again from the start where the database asks for that, so it touches nothing else.
   */
  transaction<T>(verb: (sql: Sql) => Promise<T>): Promise<T>;
  /** Runs a verb that changes nothing, and whose statements need not see the same moment. */
  read<T>(verb: (sql: Sql) => Promise<T>): Promise<T>;
  /** Gives back to the disk some of what is empty. @returns whether there is more of it */
  shrink(): Promise<boolean>;
  /** Once, when no verb is under way. */
  close(): Promise<void>;
}

/** A database within one verb. */
export interface Sql {
  readonly dialect: Dialect;
  /**
   * Runs one statement. Its parameters are `$1`, `$2` and so on; a list is one parameter, for `Dialect.isIn`.
   * @returns the rows of a query, or those of a change that has `returning`
   */
  rows(statement: string, values?: readonly SqlParameter[]): Promise<readonly Row[]>;
  /** Keeps other verbs with one of these locks waiting until this one has ended. In whatever order, all or none. */
  lock(names: readonly string[]): Promise<void>;
}

export type SqlValue = string | number | Uint8Array | null;
export type SqlParameter = SqlValue | readonly string[];
export type Row = Readonly<Record<string, SqlValue>>;

/** What SQLite and PostgreSQL say differently. */
export interface Dialect {
  /** The database's time, ms since 1970, as it is when the statement runs. */
  readonly now: string;
  /** The type of whole numbers up to 2^53. */
  readonly integer: string;
  readonly real: string;
  /** The type of text that is compared byte by byte. */
  readonly text: string;
  readonly bytes: string;
  /** What stands behind the columns of a table; `isKeyed`: its rows are small and are found by their primary key. */
  table(isKeyed: boolean): string;
  /** A condition: whether a column is one of a parameter that is a list. */
  isIn(column: string, parameter: string): string;
  /** What stands behind a table's name, so that its rows are found by this index, whatever the database believes. */
  by(index: string): string;
  /** What a query that is going to change its rows ends with. */
  readonly forUpdate: string;
}
