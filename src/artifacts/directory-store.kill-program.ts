import { randomBytes } from "node:crypto";
import { DirectoryStore } from "./directory-store.ts";

/** Puts artifacts until it is killed, and says the digest of each that is kept; one of them never ends. */

const [root = "", words = ""] = process.argv.slice(2);
const store = await DirectoryStore.open(root);

async function* endless() {
  for (;;) yield randomBytes(1000);
}

async function* pieces(name: string) {
  for (let at = 0; at < 20; at++) yield Buffer.alloc(10_000, `${name} ${at}`);
}

async function putForever(name: string): Promise<void> {
  for (let at = 0; ; at++) {
    const { sha256 } = await store.put(pieces(`${words} ${name} ${at}`), 2 ** 30);
    process.stdout.write(`${sha256}\n`);
  }
}

await Promise.all([store.put(endless(), 2 ** 40), putForever("a"), putForever("b"), putForever("c")]);
