import { openSqliteStore } from "./sqlite/sqlite-store.ts";
import type { Store } from "./store.ts";

export type StorePlace =
  | { readonly kind: "sqlite"; readonly file: string }
  /** `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, and what pg understands behind a question mark. */
  | { readonly kind: "postgres"; readonly url: string };

/**
 * Opens the store of jobs and placements, and brings its tables up to date.
 * @throws STORE_UNAVAILABLE with what the database said, STORE_UNUSABLE where it is damaged or of a newer version
 */
export async function openStore(place: StorePlace): Promise<Store> {
  if (place.kind === "sqlite") return await openSqliteStore(place.file);
  // pg is loaded where it is needed.
  const { openPostgresStore } = await import("./postgres/postgres-store.ts");
  return await openPostgresStore(place.url);
}
