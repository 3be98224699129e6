import { describe } from "vitest";
import { storeConformance } from "../store.conformance.ts";
import { useFile } from "./sqlite.fixture.ts";

describe("the store in SQLite", () => storeConformance(useFile));
