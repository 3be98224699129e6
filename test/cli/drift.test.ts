import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createHostRequest, type MachineFact, openHostKey, readMachine } from "../../src/license/index.ts";
import { type OperatedHost, useDesk } from "../helpers/operator.ts";
import { useSignetServe } from "../helpers/signet-process.ts";

const desk = useDesk();

/** A host whose license names these parts too, which this machine does not have any more. */
async function useChangedHost(lost: readonly MachineFact[]): Promise<OperatedHost & { readonly bundle: string }> {
  const host = desk.useHost();
  const machine = await readMachine();
  const facts = [...machine.facts, ...lost];
  const request = join(host.directory, "host.req");
  const hostKey = await openHostKey(host.data.hostDir);
  writeFileSync(request, await createHostRequest({ hostKey, machine: { ...machine, facts } }));
  const bundle = join(host.directory, "bundle");
  expect(desk.issue(request, bundle)).toMatchObject({ exit: 0 });
  return { ...host, bundle };
}

test("changed hardware within the tolerance is told in the same words everywhere", async () => {
  const host = await useChangedHost([{ type: "chassis-serial", value: "lostserial4711", weight: 1 }]);
  expect(host.signet("license", "install", host.bundle)).toMatchObject({ exit: 0 });
  writeFileSync(host.data.configFile, "listen: 127.0.0.1:0\n");
  const words = JSON.parse(host.signet("license", "status", "--json").out).drift;
  expect(words).toMatch(/within its tolerance: chassis-serial; \d+ of \d+ points match, \d+ needed$/);

  const next = /Send a fresh `signet host request`/;
  const status = host.signet("license", "status");
  const check = host.signet("check");
  for (const { err } of [status, check]) {
    expect(err).toContain(words);
    expect(err).toMatch(next);
  }
  const doctor = JSON.parse(host.signet("doctor", "--json").out).findings;
  expect(doctor).toContainEqual(
    expect.objectContaining({ area: "host", level: "note", found: words, next: expect.stringMatching(next) }),
  );
  expect(JSON.parse(host.signet("host", "show", "--json").out).licenseMatch).toBe(words);
  const server = useSignetServe(host.data.root);
  expect(await server.logged(words)).toMatchObject({ changed: ["chassis-serial"], next: expect.stringMatching(next) });
  await server.logged("serving");
  expect(server.stderr).not.toContain("lostserial4711");
  server.kill("SIGTERM");
  await server.exit();
});

test("too much of it is refused in words that name types and points, never values", async () => {
  const host = await useChangedHost([
    { type: "system-uuid", value: "lostserial4711", weight: 4 },
    { type: "gpu", value: "gpulost1", weight: 3 },
    { type: "gpu", value: "gpulost2", weight: 3 },
  ]);
  const refused = host.signet("license", "install", host.bundle);
  expect(refused).toMatchObject({ exit: 3, code: "FINGERPRINT_MISMATCH" });
  expect(refused.err).toMatch(/\d+ of \d+ points match, \d+ needed.*differs: system-uuid, gpu \(0 of 2 left\)/);
  expect(refused.err).not.toMatch(/lost/);
});
