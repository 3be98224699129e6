import type { Dialect } from "../sql/database.ts";

export const sqliteDialect: Dialect = {
  now: "cast(unixepoch('subsec') * 1000 as integer)",
  integer: "integer",
  real: "real",
  text: "text",
  bytes: "blob",
  table: (isKeyed) => (isKeyed ? "strict, without rowid" : "strict"),
  isIn: (column, parameter) => `${column} in (select value from json_each(${parameter}))`,
  // Without statistics it takes any state for rare.
  by: (index) => `indexed by ${index}`,
  // There is one writer at a time.
  forUpdate: "",
};
