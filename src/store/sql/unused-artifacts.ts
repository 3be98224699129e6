import type { Sql } from "./database.ts";

/** The verb `unused` of the store. */
export async function unusedArtifacts(sql: Sql, digests: readonly string[]): Promise<readonly string[]> {
  if (digests.length === 0) return [];
  const rows = await sql.rows(`select distinct sha256 from job_artifact where ${sql.dialect.isIn("sha256", "$1")}`, [
    digests,
  ]);
  const used = new Set(rows.map(({ sha256 }) => sha256));
  return digests.filter((sha256) => !used.has(sha256));
}
