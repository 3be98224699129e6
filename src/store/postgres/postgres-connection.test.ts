import { describe, expect, test } from "vitest";
import { openStore } from "../open-store.ts";
import { newJob, newJobs, useStore } from "../store.fixture.ts";
import { findPostgres, query, useDatabase } from "./postgres.fixture.ts";

const server = await findPostgres();
const reason = "missing" in server ? ` (${server.missing})` : "";

async function errorOf(url: string): Promise<{ code: string; message: string }> {
  return await openStore({ kind: "postgres", url }).then(
    () => {
      throw new Error("it opened");
    },
    (error) => error,
  );
}

test.each([
  ["a port where nobody listens", "postgresql://ada:hunter2@127.0.0.1:1/d", /ECONNREFUSED/],
  ["a host that is none", "postgresql://ada:hunter2@nowhere.invalid/d", /nowhere\.invalid/],
  ["no URL", "postgresql://ada:hunter2@[/d", /cannot be read/],
])("%s is unavailable, without the password", async (_, url, words) => {
  const { code, message } = await errorOf(url);
  expect(code).toBe("STORE_UNAVAILABLE");
  expect(message).toMatch(words);
  expect(message).not.toContain("hunter2");
});

describe.skipIf("missing" in server)(`a PostgreSQL that answers${reason}`, () => {
  const serverUrl = "url" in server ? server.url : "";

  test("a database that is not there is unavailable", async () => {
    const { code, message } = await errorOf(Object.assign(new URL(serverUrl), { pathname: "/signet_none" }).href);
    expect({ code, message }).toMatchObject({
      code: "STORE_UNAVAILABLE",
      message: expect.stringContaining("signet_none"),
    });
  });

  test("connections that the database ends fail their verbs, and later ones work", async () => {
    const { url, place } = await useDatabase(serverUrl);
    const store = await useStore(place);
    const verbs = Promise.allSettled(newJobs(200).map((job) => store.submit([job], 1000)));
    await query(
      url,
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'signet' and datname = current_database()",
    );
    const results = await verbs;
    const failed = results.flatMap((result) => (result.status === "rejected" ? [result.reason.code] : []));
    expect(failed.length).toBeGreaterThan(0);
    expect(new Set(failed)).toEqual(new Set(["STORE_UNAVAILABLE"]));
    await store.submit([newJob()], 1000);
    const [load] = await store.load();
    // Whether one that failed was done is not known: its answer may have been lost.
    expect(load!.queued).toBeGreaterThanOrEqual(results.length - failed.length + 1);
  });

  test("the options of the URL are kept beside ours", async () => {
    const { url } = await useDatabase(serverUrl);
    await useStore({ kind: "postgres", url: `${url}?options=-c%20geqo%3Doff` });
    expect(await query(url, "select 1 from pg_tables where schemaname = 'signet' and tablename = 'job'")).toHaveLength(
      1,
    );
  });

  test("a role that may not make schemas uses the one that was made for it", async () => {
    const { url } = await useDatabase(serverUrl);
    const role = `signet_role_${process.pid}`;
    await query(url, `create role ${role} login`);
    try {
      const roleUrl = Object.assign(new URL(url), { username: role }).href;
      expect(await errorOf(roleUrl)).toMatchObject({
        code: "STORE_UNAVAILABLE",
        message: expect.stringContaining("permission denied"),
      });
      await query(url, `create schema signet authorization ${role}`);
      const store = await openStore({ kind: "postgres", url: roleUrl });
      await store.submit([newJob()], 10);
      await store.close();
    } finally {
      await query(url, `drop owned by ${role}; drop role ${role}`);
    }
  });
});
