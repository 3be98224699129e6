import { parentPort, workerData } from "node:worker_threads";
import { createSqlStore } from "../sql/sql-store.ts";
import type { Store } from "../store.ts";
import { openSqliteDatabase } from "./sqlite-database.ts";
import { type ThreadStart, threadErrorFrom, type VerbReply, type VerbRequest } from "./thread-protocol.ts";

/** The thread that waits for the disk. It has the whole store; the gateway has a proxy of it (sqlite-store.ts). */

const port = parentPort!;
const post = (message: VerbReply | ThreadStart) => port.postMessage(message);

try {
  const store = await createSqlStore(openSqliteDatabase((workerData as { file: string }).file));
  port.on("message", (request: VerbRequest) => void answer(store, request));
  post({ open: true });
} catch (thrown) {
  post({ error: threadErrorFrom(thrown) });
}

async function answer(store: Store, { id, verb, parameters }: VerbRequest): Promise<void> {
  try {
    const act = store[verb] as (...parameters: readonly unknown[]) => Promise<unknown>;
    post({ id, value: await act(...parameters) });
  } catch (thrown) {
    post({ id, error: threadErrorFrom(thrown) });
  }
  if (verb === "close") port.close();
}
