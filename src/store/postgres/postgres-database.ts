import pg from "pg";
import type { Database, Row, Sql, SqlParameter } from "../sql/database.ts";
import { Permits } from "./permits.ts";
import { postgresDialect } from "./postgres-dialect.ts";
import { mayRunAgain, postgresError } from "./postgres-error.ts";

const CONNECTIONS = 8;
const CONNECT_TIMEOUT_MS = 5_000;
const STATEMENT_TIMEOUT_MS = 30_000;
/** A server that is stopped in the middle of a verb must not keep its locks from the others. */
const IDLE_TIMEOUT_MS = 10_000;
/** How often a verb is tried that was undone for another one's sake. */
const TRIES = 5;
/** The tables have a schema of their own, so that the database can be somebody else's too. */
const SCHEMA = "signet";
/**
 * Each of our statements has an index that was made for it. What the planner believes of a table whose jobs all wait now
 * and had all ended a minute ago is wrong half of the time, and then it reads and sorts everything that waits.
 */
const PLANNER = ["seqscan", "bitmapscan", "sort", "incremental_sort", "hashjoin", "mergejoin"].map(
  (way) => `-c enable_${way}=off`,
);
const SETTINGS = [`-c search_path=${SCHEMA}`, "-c plan_cache_mode=force_generic_plan", "-c jit=off", ...PLANNER].join(
  " ",
);

const types = {
  // Whole numbers come as text, since they may be too large; ours never are.
  getTypeParser: ((oid: number, format?: "text") =>
    oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
};

/**
 * A PostgreSQL database, over a pool of connections.
 * @throws STORE_UNAVAILABLE with what the database says, never with the password
 */
export async function openPostgresDatabase(url: string): Promise<Database> {
  const pool = createPool(url);
  // A connection that ends, used or not: its verb fails, if it has one, and the next verb opens another connection.
  pool.on("connect", (client) => client.on("error", () => {}));
  pool.on("error", () => {});
  // Not the pool's own line, where waiting for one's turn counts as waiting for the database to let us in.
  const permits = new Permits(CONNECTIONS);
  const nameOf = createNames();
  try {
    await createSchema(pool);
  } catch (thrown) {
    await pool.end();
    throw postgresError(thrown);
  }
  const sqlOf = (client: pg.PoolClient | pg.Pool): Sql => ({
    dialect: postgresDialect,
    rows: async (statement, values = []) =>
      (await client.query<Row>({ name: nameOf(statement), text: statement, values: values.map(parameterFrom) })).rows,
    lock: async (names) => {
      // In one order, so that nobody waits for somebody who waits for them.
      await client.query({
        name: "lock",
        text: `select pg_advisory_xact_lock(key) from (
          select distinct hashtextextended('signet ' || name, 0) as key from unnest($1::text[]) as name order by key
        ) as keys`,
        values: [names],
      });
    },
  });
  return {
    dialect: postgresDialect,
    transaction: (verb) => permits.hold(() => retried(() => inTransaction(pool, sqlOf, verb))),
    read: (verb) => permits.hold(() => retried(() => verb(sqlOf(pool)))),
    // Its autovacuum sees to that.
    shrink: async () => false,
    close: () => pool.end(),
  };
}

function createPool(url: string): pg.Pool {
  try {
    return new pg.Pool({
      connectionString: withSchema(url),
      max: CONNECTIONS,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      idle_in_transaction_session_timeout: IDLE_TIMEOUT_MS,
      application_name: "signet",
      keepAlive: true,
      types,
    });
  } catch {
    // The parser of the URL repeats it in its words, with its password.
    throw postgresError(new Error("connection: the URL of the database cannot be read"));
  }
}

/** In the URL, because whatever options that has would take the place of ours. */
function withSchema(url: string): string {
  const { href, searchParams } = new URL(url);
  searchParams.set("options", `${searchParams.get("options") ?? ""} ${SETTINGS}`.trim());
  return Object.assign(new URL(href), { search: searchParams.toString() }).href;
}

/** Where it is there already nobody needs the right to make one. */
async function createSchema(pool: pg.Pool): Promise<void> {
  const { rowCount } = await pool.query("select from pg_namespace where nspname = $1", [SCHEMA]);
  if (rowCount !== 0) return;
  try {
    await pool.query(`create schema if not exists ${SCHEMA}`);
  } catch (thrown) {
    // Another server that starts at this moment was faster.
    if ((thrown as { code?: unknown }).code !== "23505") throw thrown;
  }
}

async function inTransaction<T>(
  pool: pg.Pool,
  sqlOf: (client: pg.PoolClient) => Sql,
  verb: (sql: Sql) => Promise<T>,
): Promise<T> {
  const client = await pool.connect();
  let broken = false;
  try {
    await client.query("begin");
    const result = await verb(sqlOf(client));
    await client.query("commit");
    return result;
  } catch (thrown) {
    // Where even that fails the connection is of no more use, and ending it undoes the transaction.
    await client.query("rollback").catch(() => {
      broken = true;
    });
    throw thrown;
  } finally {
    client.release(broken);
  }
}

async function retried<T>(act: () => Promise<T>): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await act();
    } catch (thrown) {
      if (tried === TRIES || !mayRunAgain(thrown)) throw postgresError(thrown);
    }
  }
}

/** Statements have names, so that a connection parses each of them once. */
function createNames(): (statement: string) => string {
  const names = new Map<string, string>();
  return (statement) => {
    let name = names.get(statement);
    if (name === undefined) {
      name = `signet_${names.size + 1}`;
      names.set(statement, name);
    }
    return name;
  };
}

function parameterFrom(parameter: SqlParameter) {
  return parameter instanceof Uint8Array
    ? Buffer.from(parameter.buffer, parameter.byteOffset, parameter.byteLength)
    : parameter;
}
