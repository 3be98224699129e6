import { SignetError } from "../../errors.ts";
import type { Database, Dialect, Sql } from "./database.ts";
import { firstTables } from "./first-tables.ts";

/** What made the tables what they are, in order; number 1 is the first. One that was released is never changed. */
const migrations: readonly ((dialect: Dialect) => readonly string[])[] = [firstTables];

/** The number of the last migration: what this program knows. */
export const schemaVersion = migrations.length;

/**
 * Brings the tables up to date, a transaction for each step. Servers that start together take turns.
 * @throws STORE_UNUSABLE where a newer program made them
 */
export async function migrate(database: Database): Promise<void> {
  while (await database.transaction(takeNextStep));
}

/** @returns whether there was something to do */
async function takeNextStep(sql: Sql): Promise<boolean> {
  const { dialect } = sql;
  await sql.lock(["migration"]);
  await sql.rows(`create table if not exists migration (
    version ${dialect.integer} primary key,
    applied_ms ${dialect.integer} not null
  ) ${dialect.table(false)}`);
  const [row] = await sql.rows("select coalesce(max(version), 0) as version from migration");
  const version = row!.version as number;
  if (version > schemaVersion) {
    throw new SignetError(
      "STORE_UNUSABLE",
      `the store: expected tables of version ${schemaVersion} or older, found version ${version}`,
    );
  }
  const step = migrations[version];
  if (step === undefined) return false;
  for (const statement of step(dialect)) await sql.rows(statement);
  await sql.rows(`insert into migration (version, applied_ms) values ($1, ${dialect.now})`, [version + 1]);
  return true;
}
