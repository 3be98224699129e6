import { describe } from "vitest";
import { storeConformance } from "../store.conformance.ts";
import { findPostgres, useDatabase } from "./postgres.fixture.ts";

const server = await findPostgres();
const reason = "missing" in server ? ` (${server.missing})` : "";

describe.skipIf("missing" in server)(`the store in PostgreSQL${reason}`, () => {
  const url = "url" in server ? server.url : "";
  storeConformance(() => useDatabase(url));
});
