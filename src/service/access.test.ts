import { chmodSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import { codeOf } from "../../test/helpers/code-of.ts";
import { createLog } from "../telemetry/index.ts";
import { type Action, openAccess, RECHECK_MS, RECHECK_UNKNOWN_MS } from "./access.ts";
import { addToken, type Role, readTokens, removeToken, roles, type TokenGrant } from "./access-file.ts";

const attack = attacksOn("calls");

const grant: TokenGrant = { name: "web", role: "client", services: "all", expires: null };

function useAccessFile(): string {
  const directory = mkdtempSync(join(tmpdir(), "signet-access-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return join(directory, "data", "access.json");
}

/** Access to the file, with clocks that stand still until they are moved. */
function useAccess(file: string) {
  const clock = { wall: Date.parse("2030-01-01T00:00:00Z"), monotonic: 0 };
  const log = createLog({ level: "silent", format: "json" });
  const access = openAccess({ file, log, clock: { wallMs: () => clock.wall, monotonicMs: () => clock.monotonic } });
  return { access, clock };
}

describe("a token", () => {
  test("lets its holder in, under its name", async () => {
    const file = useAccessFile();
    const { token, record } = await addToken(file, grant);
    expect(token.reveal()).toMatch(/^sgn_[a-z0-9]{8}_[A-Za-z0-9_-]{43}$/);
    const { access } = useAccess(file);
    expect(access.authenticate(`Bearer ${token.reveal()}`)).toMatchObject({
      id: record.id,
      name: "web",
      role: "client",
    });
    expect(access.authenticate(`bearer   ${token.reveal()}`).id).toBe(record.id);
  });

  test("is not in the file, which only its owner may read", async () => {
    const file = useAccessFile();
    const { token } = await addToken(file, grant);
    expect(readFileSync(file, "utf8")).not.toContain(token.reveal().slice(-43));
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(existsSync(`${file}.new`)).toBe(false);
  });

  test("in any other shape is refused", attack("guesses or bends a token", "15 other headers"), async () => {
    const file = useAccessFile();
    const { token, record } = await addToken(file, grant);
    const { token: other } = await addToken(file, grant);
    const good = token.reveal();
    const { access } = useAccess(file);
    const wrong = [
      undefined,
      "",
      "Bearer",
      "Bearer ",
      good,
      `Basic ${good}`,
      `Bearer ${good} `,
      `Bearer ${good}\n`,
      `Bearer ${good}=`,
      `Bearer ${good.slice(0, -1)}`,
      `Bearer ${good.slice(0, -1)}${good.endsWith("A") ? "B" : "A"}`,
      `Bearer ${good.toUpperCase()}`,
      `Bearer sgn_${record.id}_${other.reveal().slice(-43)}`,
      `Bearer sgn_${"0".repeat(8)}_${"A".repeat(43)}`,
      `Bearer ${"x".repeat(1_000_000)}`,
    ];
    for (const header of wrong) expect(codeOf(() => access.authenticate(header))).toBe("UNAUTHENTICATED");
    expect(access.authenticate(`Bearer ${good}`).id).toBe(record.id);
  });

  test("stops at its time", attack("uses an expired token", "one millisecond after its end"), async () => {
    const file = useAccessFile();
    const { token } = await addToken(file, { ...grant, expires: new Date("2030-01-01T00:00:10Z") });
    const { access, clock } = useAccess(file);
    clock.wall += 9_999;
    expect(codeOf(() => access.authenticate(`Bearer ${token.reveal()}`))).toBe("none");
    clock.wall += 1;
    expect(codeOf(() => access.authenticate(`Bearer ${token.reveal()}`))).toBe("UNAUTHENTICATED");
  });

  test("that is added works at once, and guessing does not make the file be read more often", async () => {
    const file = useAccessFile();
    await addToken(file, grant);
    const { access, clock } = useAccess(file);
    const guess = `Bearer sgn_${"0".repeat(8)}_${"A".repeat(43)}`;
    clock.monotonic += RECHECK_UNKNOWN_MS;
    expect(codeOf(() => access.authenticate(guess))).toBe("UNAUTHENTICATED");
    const { token } = await addToken(file, { ...grant, name: "second" });
    // The guess has just had the file looked at.
    expect(codeOf(() => access.authenticate(`Bearer ${token.reveal()}`))).toBe("UNAUTHENTICATED");
    clock.monotonic += RECHECK_UNKNOWN_MS;
    expect(codeOf(() => access.authenticate(`Bearer ${token.reveal()}`))).toBe("none");
    expect(RECHECK_UNKNOWN_MS).toBeLessThanOrEqual(100);
  });

  test("that is removed stops within a second, and one that is added starts", async () => {
    const file = useAccessFile();
    const { token: first, record } = await addToken(file, grant);
    const { access, clock } = useAccess(file);
    await removeToken(file, record.id);
    const { token: second } = await addToken(file, grant);
    clock.monotonic += RECHECK_MS;
    expect(codeOf(() => access.authenticate(`Bearer ${first.reveal()}`))).toBe("UNAUTHENTICATED");
    expect(codeOf(() => access.authenticate(`Bearer ${second.reveal()}`))).toBe("none");
    expect(RECHECK_MS).toBeLessThanOrEqual(1000);
  });
});

describe("a role", () => {
  const actions: Action[] = ["metadata", "infer", "operate", "administer"];
  const allowed: Record<Role, Action[]> = {
    viewer: ["metadata"],
    client: ["metadata", "infer"],
    operator: ["metadata", "infer", "operate"],
    admin: ["metadata", "infer", "operate", "administer"],
  };

  test.each(roles)("%s may do exactly what it should", async (role) => {
    const file = useAccessFile();
    const { token } = await addToken(file, { ...grant, role });
    const identity = useAccess(file).access.authenticate(`Bearer ${token.reveal()}`);
    expect(actions.filter((action) => codeOf(() => identity.require(action, "ocr")) === "none")).toEqual(allowed[role]);
    expect(codeOf(() => identity.require("administer"))).toBe(role === "admin" ? "none" : "PERMISSION_DENIED");
  });

  test(
    "with a grant for one service is refused at another, but may read metadata",
    attack("uses another service's grant", "infer with a token for another"),
    async () => {
      const file = useAccessFile();
      const { token } = await addToken(file, { ...grant, role: "operator", services: ["ocr"] });
      const identity = useAccess(file).access.authenticate(`Bearer ${token.reveal()}`);
      expect(codeOf(() => identity.require("infer", "ocr"))).toBe("none");
      expect(codeOf(() => identity.require("operate", "ocr"))).toBe("none");
      expect(codeOf(() => identity.require("metadata", "other"))).toBe("none");
      expect(codeOf(() => identity.require("infer", "other"))).toBe("PERMISSION_DENIED");
      expect(codeOf(() => identity.require("infer", "OCR"))).toBe("PERMISSION_DENIED");
      expect(codeOf(() => identity.require("operate"))).toBe("PERMISSION_DENIED");
    },
  );

  test("with a grant for no service may infer nowhere", async () => {
    const file = useAccessFile();
    const { token } = await addToken(file, { ...grant, services: [] });
    const identity = useAccess(file).access.authenticate(`Bearer ${token.reveal()}`);
    expect(codeOf(() => identity.require("infer", "ocr"))).toBe("PERMISSION_DENIED");
  });
});

describe("the file", () => {
  test("that is missing lets nobody in, and is no error", () => {
    const { access } = useAccess(useAccessFile());
    expect(codeOf(() => access.authenticate(`Bearer sgn_${"a".repeat(8)}_${"A".repeat(43)}`))).toBe("UNAUTHENTICATED");
  });

  test(
    "that goes bad while the server runs lets nobody in until it is good again",
    attack("damages access.json", "while the server runs"),
    async () => {
      const file = useAccessFile();
      const { token } = await addToken(file, grant);
      const good = readFileSync(file);
      const { access, clock } = useAccess(file);
      for (const [text, expected] of [
        ["{", "UNAUTHENTICATED"],
        [good, "none"],
      ] as const) {
        writeFileSync(file, text);
        clock.monotonic += RECHECK_MS;
        expect(codeOf(() => access.authenticate(`Bearer ${token.reveal()}`))).toBe(expected);
      }
    },
  );

  test("that cannot even be looked at any more lets nobody in until it is there again", async () => {
    const file = useAccessFile();
    const { token } = await addToken(file, grant);
    const { access, clock } = useAccess(file);
    const directory = dirname(file);
    renameSync(directory, `${directory}.away`);
    writeFileSync(directory, "no directory");
    clock.monotonic += RECHECK_MS;
    for (let call = 0; call < 2; call++) {
      expect(codeOf(() => access.authenticate(`Bearer ${token.reveal()}`))).toBe("UNAUTHENTICATED");
    }
    rmSync(directory);
    renameSync(`${directory}.away`, directory);
    clock.monotonic += RECHECK_MS;
    expect(codeOf(() => access.authenticate(`Bearer ${token.reveal()}`))).toBe("none");
  });

  test.each([
    ["is not JSON", "sgn"],
    ["has an unknown field", '{"v":1,"tokens":[],"more":1}'],
    ["has a token with an unknown role", '{"v":1,"tokens":[{"id":"aaaaaaaa","name":"x","role":"root"}]}'],
  ])("that %s is refused at the start", async (_, text) => {
    const file = useAccessFile();
    await addToken(file, grant);
    writeFileSync(file, text);
    expect(codeOf(() => useAccess(file))).toBe("ACCESS_FILE_INVALID");
  });

  test(
    "that others may read or write is refused",
    attack("adds a token of his own", "chmod 666 access.json"),
    async () => {
      const file = useAccessFile();
      await addToken(file, grant);
      for (const mode of [0o620, 0o602, 0o644]) {
        chmodSync(file, mode);
        expect(codeOf(() => readTokens(file))).toBe("ACCESS_FILE_INVALID");
      }
    },
  );

  test("loses nothing when many change it at once", async () => {
    const file = useAccessFile();
    const made = await Promise.all(
      Array.from({ length: 10 }, (_, index) => addToken(file, { ...grant, name: `t${index}` })),
    );
    expect(
      readTokens(file)
        .map(({ id }) => id)
        .sort(),
    ).toEqual(made.map(({ record }) => record.id).sort());
  });

  test("is as it was after a change that failed", async () => {
    const file = useAccessFile();
    await addToken(file, grant);
    const before = readFileSync(file, "utf8");
    await expect(removeToken(file, "unknown1")).rejects.toMatchObject({ code: "USAGE" });
    await expect(addToken(file, { ...grant, name: "a b\n" })).rejects.toMatchObject({ code: "USAGE" });
    expect(readFileSync(file, "utf8")).toBe(before);
    expect(existsSync(`${file}.new`)).toBe(false);
  });
});
