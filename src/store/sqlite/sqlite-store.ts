import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { SignetError } from "../../errors.ts";
import type { Store } from "../store.ts";
import { signetErrorFrom, type ThreadStart, type VerbReply, type VerbRequest, verbs } from "./thread-protocol.ts";

interface PendingVerb {
  resolve(value: unknown): void;
  reject(error: SignetError): void;
}

/**
 * Opens the store in a file of SQLite's, which is made where there is none. It runs in a thread of its own, so that the
 * gateway's event loop never waits for a disk.
 * @throws STORE_UNAVAILABLE, STORE_UNUSABLE
 */
export async function openSqliteStore(file: string): Promise<Store> {
  const worker = new Worker(new URL("./sqlite-thread.ts", import.meta.url), { workerData: { file }, execArgv: [] });
  const exited = new Promise((resolve) => worker.once("exit", resolve));
  const [start] = (await once(worker, "message")) as [ThreadStart];
  if ("error" in start) {
    await worker.terminate();
    throw signetErrorFrom(start.error);
  }
  return createProxy(worker, file, exited);
}

function createProxy(worker: Worker, file: string, exited: Promise<unknown>): Store {
  const pending = new Map<number, PendingVerb>();
  let nextId = 1;
  let ended: SignetError | undefined;

  worker.on("message", (reply: VerbReply) => {
    const verb = pending.get(reply.id);
    pending.delete(reply.id);
    if ("error" in reply) verb?.reject(signetErrorFrom(reply.error));
    else verb?.resolve(reply.value);
  });
  const end = (cause?: unknown) => {
    ended ??= new SignetError("STORE_UNAVAILABLE", `${file}: the store's thread has ended`, { cause });
    for (const verb of pending.values()) verb.reject(ended);
    pending.clear();
  };
  worker.on("error", end);
  worker.on("exit", () => end());

  const call = (verb: VerbRequest["verb"], parameters: readonly unknown[]) =>
    new Promise<unknown>((resolve, reject) => {
      if (ended !== undefined) return reject(ended);
      const request: VerbRequest = { id: nextId++, verb, parameters };
      pending.set(request.id, { resolve, reject });
      worker.postMessage(request);
    });
  const proxy = Object.fromEntries(verbs.map((verb) => [verb, (...parameters: unknown[]) => call(verb, parameters)]));
  let closing: Promise<void> | undefined;
  const close = async () => {
    if (ended === undefined) await call("close", []);
    await exited;
  };
  return {
    ...(proxy as unknown as Store),
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}
