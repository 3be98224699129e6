import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { onTestFinished } from "vitest";
import type { StoreUnderTest } from "../store.fixture.ts";

/** A directory for a store's file until the test ends. */
export async function useFile(): Promise<StoreUnderTest & { readonly file: string }> {
  const directory = mkdtempSync(join(tmpdir(), "signet-store-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, "store.sqlite");
  return { file, place: { kind: "sqlite", file }, rows: async (statement) => query(file, statement) };
}

export function query(file: string, statement: string): readonly Record<string, unknown>[] {
  const database = new DatabaseSync(file, { timeout: 5_000 });
  try {
    return database.prepare(statement).all();
  } finally {
    database.close();
  }
}
