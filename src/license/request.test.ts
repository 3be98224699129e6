import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import { envelopeKinds, parseEnvelope } from "./envelope.ts";
import { createHostKey, type HostKey } from "./host-key.ts";
import type { Machine } from "./machine-fact.ts";
import { createHostRequest, parseHostRequest } from "./request.ts";
import type { HostRequest } from "./schema.ts";
import { signEnvelope } from "./sign.ts";
import { formatJson } from "./strict-json.ts";

const attack = attacksOn("the vendor's desk");

const machine: Machine = {
  platform: "physical",
  facts: [
    { type: "system-uuid", value: "secret-uuid", weight: 4 },
    { type: "board-serial", value: "secret-board", weight: 3 },
    { type: "machine-id", value: "secret-id", weight: 1 },
  ],
  unreadable: [],
  os: "Debian",
  arch: "x64",
};

let directory: string;
let hostKey: HostKey;
let text: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "signet-request-"));
  hostKey = await createHostKey(directory);
  text = await createHostRequest({ hostKey, machine });
});
afterAll(() => rm(directory, { recursive: true }));

const invalid = expect.objectContaining({ code: "REQUEST_INVALID" });
const parsed = () => parseHostRequest(Buffer.from(text));
const signed = (request: unknown, key = hostKey.signing) =>
  Buffer.from(signEnvelope({ kind: envelopeKinds.request, payload: Buffer.from(formatJson(request)), key }));
const withHost = (change: Partial<HostRequest["host"]>) => ({ ...parsed(), host: { ...parsed().host, ...change } });

test("a request says who the host is", () => {
  const { host, ledger } = parsed();
  expect(host.signingKey).toBe(hostKey.signingPublic.toString("base64"));
  expect(host.components.map((component) => component.type)).toEqual(["system-uuid", "board-serial", "machine-id"]);
  expect(host.weak).toBe(false);
  expect(ledger).toBeUndefined();
});

test("a request carries the ledger's head after the first license", async () => {
  const ledger = { sequence: 9, mac: "AAAA", licenseId: null, totals: { demo: { runs: 3, runTimeMs: 40 } } };
  const request = await createHostRequest({ hostKey, machine, ledger });
  expect(parseHostRequest(Buffer.from(request)).ledger).toEqual(ledger);
});

test("a request holds no raw value and no private key", () => {
  const { payload } = parseEnvelope(Buffer.from(text), envelopeKinds.request);
  const seed = hostKey.signing.export({ format: "jwk" }).d as string;
  expect(payload.toString()).not.toMatch(/secret-(uuid|board|id)/);
  expect(payload.toString()).not.toContain(Buffer.from(seed, "base64url").toString("base64"));
});

test(
  "a request signed with another key than the one inside is refused",
  attack("asks for a license for another host", "its request, signed with his key"),
  () => {
    const thief = generateKeyPairSync("ed25519").privateKey;
    expect(() => parseHostRequest(signed(parsed(), thief))).toThrow(invalid);
  },
);

test("one changed bit anywhere is noticed", attack("edits a request", "one bit of every byte"), () => {
  const file = Buffer.from(text);
  for (const [index] of file.entries()) {
    const changed = Buffer.from(file);
    changed[index]! ^= 1 << (index % 8);
    expect(() => parseHostRequest(changed), `byte ${index}`).toThrow(invalid);
  }
});

test(
  "a request that contradicts itself is refused, though it is signed",
  attack("signs a request with nonsense in it", "other keys, salts, fields, versions"),
  () => {
    const ed25519 = hostKey.signingPublic.toString("base64");
    for (const wrong of [
      withHost({ weak: true }),
      withHost({ wrappingKey: ed25519 }),
      withHost({ wrappingKey: "AAAA" }),
      withHost({ signingKey: hostKey.wrappingPublic.toString("base64") }),
      withHost({ salt: "AAAA" }),
      { ...parsed(), extra: 1 },
      { ...parsed(), product: "other" },
      { ...parsed(), v: 2 },
    ]) {
      expect(() => parseHostRequest(signed(wrong))).toThrow(invalid);
    }
    expect(() => parseHostRequest(signed(parsed()))).not.toThrow();
  },
);

test("a license is not a request", attack("replays a license as a request", "payload type confusion"), () => {
  const license = signEnvelope({ kind: envelopeKinds.license, payload: Buffer.from("{}"), key: hostKey.signing });
  expect(() => parseHostRequest(Buffer.from(license))).toThrow(invalid);
});

test("a bomb is refused at once", attack("sends a bomb as a request", "10 MB; 100,000 brackets, signed"), () => {
  expect(() => parseHostRequest(Buffer.alloc(10_000_000, "A"))).toThrow(invalid);
  const deep = Buffer.from("[".repeat(100_000));
  const file = signEnvelope({ kind: envelopeKinds.request, payload: deep, key: hostKey.signing });
  expect(() => parseHostRequest(Buffer.from(file))).toThrow(invalid);
});
