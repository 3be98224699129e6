import { copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import { codeOfAsync } from "../../test/helpers/code-of.ts";
import { type DataDirectory, dataDirectory } from "../config/index.ts";
import { bindLedger, createHostKey, openHostKey } from "../license/index.ts";
import { openHostLedger, readHostLedger } from "./host-ledger.ts";

const attack = attacksOn("the ledger and the clock");

interface Host {
  readonly data: DataDirectory;
  readonly keyFile: string;
}

async function useHost(): Promise<Host> {
  const root = mkdtempSync(join(tmpdir(), "signet-host-ledger-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const data = dataDirectory(root);
  await createHostKey(data.hostDir);
  return { data, keyFile: join(data.hostDir, "host.key") };
}

async function open({ data }: Host) {
  return openHostLedger(data, await openHostKey(data.hostDir));
}

async function read({ data }: Host) {
  return readHostLedger(data, await openHostKey(data.hostDir));
}

/** Begins the ledger and returns its id. */
async function begin(host: Host): Promise<string> {
  const ledger = await open(host);
  ledger.close();
  return ledger.id;
}

function deleteLedger({ data }: Host, also: { anchor: boolean }): void {
  rmSync(data.ledgerDir, { recursive: true });
  if (also.anchor) rmSync(data.ledgerAnchorFile);
}

test("the first opening begins a ledger and writes its id into the host key, for this user only", async () => {
  const host = await useHost();
  const before = await openHostKey(host.data.hostDir);
  expect(before.ledgerId).toBeUndefined();
  const id = await begin(host);
  const after = await openHostKey(host.data.hostDir);
  expect(after.ledgerId).toBe(id);
  expect(after.signingPublic).toEqual(before.signingPublic);
  expect(after.deriveKey("ledger")).toEqual(before.deriveKey("ledger"));
  expect(statSync(host.keyFile).mode & 0o777).toBe(0o600);
});

test("the same ledger is opened again and again", async () => {
  const host = await useHost();
  const ids = [await begin(host), await begin(host), (await read(host)).id];
  expect(new Set(ids).size).toBe(1);
});

test("reading where none was begun gives an empty ledger and makes nothing", async () => {
  const host = await useHost();
  expect((await read(host)).sequence).toBe(-1);
  expect((await openHostKey(host.data.hostDir)).ledgerId).toBeUndefined();
});

describe("a host that had a ledger gets no fresh one", () => {
  test.each([true, false])(
    "when the ledger is deleted, its outer anchor too: %s",
    attack.each("deletes the ledger"),
    async (anchor) => {
      const host = await useHost();
      await begin(host);
      deleteLedger(host, { anchor });
      expect(await codeOfAsync(() => open(host))).toBe("LEDGER_MISSING");
      expect(await codeOfAsync(() => read(host))).toBe("LEDGER_MISSING");
    },
  );

  test(
    "when the ledger is another one that the same key began",
    attack("exchanges it for another of the same key", "a second ledger"),
    async () => {
      const host = await useHost();
      copyFileSync(host.keyFile, `${host.keyFile}.unmarked`);
      await begin(host);
      copyFileSync(host.keyFile, `${host.keyFile}.marked`);
      deleteLedger(host, { anchor: true });
      copyFileSync(`${host.keyFile}.unmarked`, host.keyFile);
      await begin(host);
      copyFileSync(`${host.keyFile}.marked`, host.keyFile);
      expect(await codeOfAsync(() => open(host))).toBe("LEDGER_ROLLED_BACK");
      expect(await codeOfAsync(() => read(host))).toBe("LEDGER_ROLLED_BACK");
    },
  );

  test(
    "when an older copy is put back with only one of its anchors",
    attack("puts an older copy back", "with one of its two anchors"),
    async () => {
      const host = await useHost();
      await begin(host);
      cpSync(host.data.ledgerDir, `${host.data.ledgerDir}.old`, { recursive: true });
      await begin(host);
      deleteLedger(host, { anchor: false });
      cpSync(`${host.data.ledgerDir}.old`, host.data.ledgerDir, { recursive: true });
      expect(await codeOfAsync(() => open(host))).toBe("LEDGER_ROLLED_BACK");
    },
  );
});

test("a ledger whose marker a power cut kept from being written is adopted, not begun anew", async () => {
  const host = await useHost();
  copyFileSync(host.keyFile, `${host.keyFile}.unmarked`);
  const id = await begin(host);
  copyFileSync(`${host.keyFile}.unmarked`, host.keyFile);
  expect(await begin(host)).toBe(id);
  expect((await openHostKey(host.data.hostDir)).ledgerId).toBe(id);
});

test("a second server finds the ledger busy, and reading it still works", async () => {
  const host = await useHost();
  const ledger = await open(host);
  onTestFinished(() => ledger.close());
  expect(await codeOfAsync(() => open(host))).toBe("LEDGER_BUSY");
  expect((await read(host)).id).toBe(ledger.id);
});

test(
  "a key that belongs to a ledger is never given to another",
  attack("gives the host's key to another ledger", "bindLedger() again"),
  async () => {
    const host = await useHost();
    await begin(host);
    const before = readFileSync(host.keyFile);
    expect(await codeOfAsync(() => bindLedger(host.data.hostDir, "00".repeat(16)))).toBe("HOST_KEY_INVALID");
    expect(readFileSync(host.keyFile)).toEqual(before);
  },
);
