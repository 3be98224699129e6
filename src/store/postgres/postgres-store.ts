import { createSqlStore } from "../sql/sql-store.ts";
import type { Store } from "../store.ts";
import { openPostgresDatabase } from "./postgres-database.ts";

/**
 * Opens the store in a PostgreSQL database, version 13 or newer, which many servers may share.
 * @throws STORE_UNAVAILABLE, STORE_UNUSABLE
 */
export async function openPostgresStore(url: string): Promise<Store> {
  const database = await openPostgresDatabase(url);
  try {
    return await createSqlStore(database);
  } catch (thrown) {
    await database.close();
    throw thrown;
  }
}
