import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { fileError, type SignetError } from "../../errors.ts";
import type { Database, Row, Sql, SqlParameter, SqlValue } from "../sql/database.ts";
import { sqliteDialect } from "./sqlite-dialect.ts";
import { sqliteError } from "./sqlite-error.ts";

/** Another process has the file for a moment, such as a backup. */
const BUSY_TIMEOUT_MS = 5_000;
/** Verbs that share one wait for the disk. More would keep the first of them waiting for the last. */
const VERBS_TOGETHER = 64;

/** Empty pages that are kept for what comes next, 16 MiB. */
const KEPT_FREE_PAGES = 4096;
/** Pages that are given back before other verbs have their turn. */
const PAGES_TOGETHER = 1024;

interface WaitingVerb {
  run(sql: Sql): Promise<void>;
  succeed(): void;
  fail(error: SignetError): void;
}

/**
 * A file of SQLite's, for one thread. Its calls block, so it belongs into a thread of its own.
 *
 * Verbs that wait at the same time share a transaction, each behind a savepoint: what a verb did is undone where it
 * throws, and nobody hears of a success before all of them are on the disk.
 * @throws STORE_UNAVAILABLE, STORE_UNUSABLE
 */
export function openSqliteDatabase(file: string): Database {
  const waiting: WaitingVerb[] = [];
  let isWorking = false;
  const database = open(file);
  const sql = createSql(database, file);

  const transaction = <T>(verb: (sql: Sql) => Promise<T>) =>
    new Promise<T>((resolve, reject) => {
      let result: T;
      waiting.push({
        run: async () => {
          result = await verb(sql);
        },
        succeed: () => resolve(result),
        fail: reject,
      });
      if (!isWorking) void work();
    });

  async function work(): Promise<void> {
    isWorking = true;
    // Verbs that come in the same turn of the event loop come as events of their own.
    await new Promise((resolve) => setImmediate(resolve));
    while (waiting.length > 0) await runTogether(database, file, sql, waiting.splice(0, VERBS_TOGETHER));
    isWorking = false;
  }

  return {
    dialect: sqliteDialect,
    transaction,
    // In the same order as what changes something: whoever has just changed something sees it.
    read: transaction,
    shrink: () =>
      transaction(async ({ rows }) => {
        const freePages = async () => (await rows("pragma freelist_count"))[0]!.freelist_count as number;
        const before = await freePages();
        if (before < KEPT_FREE_PAGES) return false;
        await rows(`pragma incremental_vacuum(${PAGES_TOGETHER})`);
        const after = await freePages();
        return after >= KEPT_FREE_PAGES && after < before;
      }),
    close: async () => database.close(),
  };
}

async function runTogether(database: DatabaseSync, file: string, sql: Sql, verbs: readonly WaitingVerb[]) {
  const done: WaitingVerb[] = [];
  try {
    database.exec("begin immediate");
    for (const verb of verbs) {
      database.exec("savepoint verb");
      try {
        await verb.run(sql);
        done.push(verb);
      } catch (thrown) {
        const error = sqliteError(file, thrown);
        verb.fail(error);
        // Some errors of the disk undo the whole transaction, and what was done before with it.
        if (!database.isTransaction) throw error;
        database.exec("rollback to verb");
      }
      database.exec("release verb");
    }
    database.exec("commit");
  } catch (thrown) {
    if (database.isTransaction) database.exec("rollback");
    // A verb that was answered already hears nothing twice.
    for (const verb of verbs) verb.fail(sqliteError(file, thrown));
    return;
  }
  for (const verb of done) verb.succeed();
}

function open(file: string): DatabaseSync {
  makePrivate(file);
  try {
    const database = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS, enableForeignKeyConstraints: true });
    try {
      // Of a new file only. Without it the file would never shrink, and jobs that were forgotten make no room.
      database.exec("pragma auto_vacuum = incremental");
      database.exec("pragma journal_mode = wal");
      // Each commit waits for the disk: what was accepted survives the loss of power, not only that of the process.
      database.exec("pragma synchronous = full");
      // Fails where the file is no database or its first page is damaged.
      database.exec("pragma cache_size = -16384");
      return database;
    } catch (thrown) {
      database.close();
      throw thrown;
    }
  } catch (thrown) {
    throw sqliteError(file, thrown);
  }
}

/** Inputs and outputs lie in it. SQLite gives the files beside it the same permissions. */
function makePrivate(file: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    closeSync(openSync(file, "a", 0o600));
  } catch (thrown) {
    throw fileError(file, thrown, "STORE_UNAVAILABLE");
  }
}

function createSql(database: DatabaseSync, file: string): Sql {
  const prepared = new Map<string, StatementSync>();
  const prepare = (statement: string) => {
    let found = prepared.get(statement);
    if (found === undefined) {
      found = database.prepare(statement.replace(/\$(\d+)/g, "?$1"));
      prepared.set(statement, found);
    }
    return found;
  };
  return {
    dialect: sqliteDialect,
    rows: async (statement, values = []) => {
      try {
        return prepare(statement).all(...values.map(valueFrom)) as Row[];
      } catch (thrown) {
        throw sqliteError(file, thrown);
      }
    },
    // There is one writer at a time.
    lock: async () => {},
  };
}

/** A list is one value, of JSON. */
function valueFrom(parameter: SqlParameter): SqlValue {
  return isList(parameter) ? JSON.stringify(parameter) : parameter;
}

function isList(parameter: SqlParameter): parameter is readonly string[] {
  return Array.isArray(parameter);
}
