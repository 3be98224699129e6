import type { Dialect } from "../sql/database.ts";

export const postgresDialect: Dialect = {
  // The statement's time: a transaction may have waited for a lock since it began.
  now: "(extract(epoch from statement_timestamp()) * 1000)::bigint",
  integer: "bigint",
  real: "double precision",
  text: 'text collate "C"',
  bytes: "bytea",
  // Room for changed rows on their page, so that renewing a lease writes no index.
  table: () => "with (fillfactor = 80)",
  isIn: (column, parameter) => `${column} = any(${parameter}::text[])`,
  // Its planner has statistics.
  by: () => "",
  forUpdate: "for update",
};
