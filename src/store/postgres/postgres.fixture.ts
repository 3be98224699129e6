import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chownSync, existsSync, globSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, onTestFinished } from "vitest";
import type { StoreUnderTest } from "../store.fixture.ts";

/** A server that answers here already; SIGNET_TEST_POSTGRES names another one, by a URL that may make databases. */
const usualUrl = "postgresql://postgres@127.0.0.1:5432/postgres";
/** Nobody's, for PostgreSQL does not run as root. */
const UNPRIVILEGED = 65534;

export type PostgresServer = { readonly url: string } | { readonly missing: string };

/** A real PostgreSQL: one that runs, or one of our own for the tests of a file, or the reason why there is none. */
export async function findPostgres(): Promise<PostgresServer> {
  const named = process.env.SIGNET_TEST_POSTGRES;
  if (named !== undefined) return { url: named };
  if (await answers(usualUrl)) return { url: usualUrl };
  const programs = globSync("/usr/lib/postgresql/*/bin/postgres")
    .sort()
    .at(-1)
    ?.replace(/\/postgres$/, "");
  if (programs === undefined) return { missing: "no PostgreSQL answers on 127.0.0.1:5432 and none is installed" };
  return await startServer(programs);
}

/** A database of its own until the test ends. */
export async function useDatabase(serverUrl: string): Promise<StoreUnderTest & { readonly url: string }> {
  const name = `signet_test_${randomBytes(6).toString("hex")}`;
  await query(serverUrl, `create database ${name}`);
  onTestFinished(async () => {
    await query(serverUrl, `drop database ${name} with (force)`);
  });
  const url = Object.assign(new URL(serverUrl), { pathname: `/${name}` }).href;
  return {
    url,
    place: { kind: "postgres", url },
    rows: (statement) => query(`${url}?options=-csearch_path%3Dsignet`, statement),
  };
}

export async function query(url: string, statement: string): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows;
  } finally {
    await client.end();
  }
}

async function answers(url: string): Promise<boolean> {
  return await query(url, "select 1").then(
    () => true,
    () => false,
  );
}

async function startServer(programs: string): Promise<PostgresServer> {
  const isRoot = process.getuid?.() === 0;
  const prefix = isRoot ? ["setpriv", `--reuid=${UNPRIVILEGED}`, `--regid=${UNPRIVILEGED}`, "--clear-groups"] : [];
  if (isRoot && !existsSync("/usr/bin/setpriv"))
    return { missing: "PostgreSQL does not run as root, and setpriv is not there" };
  const directory = mkdtempSync(join(tmpdir(), "signet-postgres-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  if (isRoot) chownSync(directory, UNPRIVILEGED, UNPRIVILEGED);
  const run = (words: readonly string[]) => [...prefix, ...words] as [string, ...string[]];

  const [initdb, ...initdbWords] = run([
    `${programs}/initdb`,
    "-D",
    `${directory}/data`,
    "-U",
    "postgres",
    "--auth=trust",
  ]);
  const made = spawnSync(initdb, initdbWords, { encoding: "utf8", cwd: directory });
  if (made.status !== 0) return { missing: `initdb failed: ${made.stderr}` };
  const port = await freePort();
  const [program, ...words] = run([
    ...[`${programs}/postgres`, "-D", `${directory}/data`, "-k", directory, "-h", "127.0.0.1", "-p", String(port)],
  ]);
  const server = spawn(program, words, { cwd: directory, stdio: "ignore" });
  afterAll(async () => {
    const exited = new Promise((resolve) => server.once("exit", resolve));
    // Ends its connections too.
    if (server.kill("SIGINT")) await exited;
  });
  const url = `postgresql://postgres@127.0.0.1:${port}/postgres`;
  while (!(await answers(url))) {
    if (server.exitCode !== null) return { missing: `the server of ${programs} ended with ${server.exitCode}` };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { url };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
