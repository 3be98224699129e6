import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { SignetError } from "../../src/errors.ts";
import { codeOfAsync } from "../../test/helpers/code-of.ts";
import { useDescription } from "./desk.fixture.ts";
import { loadServiceDescription } from "./service-description.ts";

const now = new Date("2026-11-21T12:00:00Z");
const service = { name: "s", library: "lib.so" };
const license = { validDays: 30 };

async function messageOf(description: object | string): Promise<string> {
  try {
    await loadServiceDescription(useDescription(description), now);
  } catch (error) {
    if (error instanceof SignetError) return error.message;
    throw error;
  }
  return "accepted";
}

test("paths are relative to the file, durations become milliseconds and what is left out is unlimited", async () => {
  const path = useDescription({
    customer: "Example GmbH",
    license: { validDays: 365, graceDays: 14 },
    services: [
      { ...service, models: ["../m.onnx", "/abs/n.onnx"], limits: { runs: 5, runTime: "10h", jobTime: "500ms" } },
      { name: "t", library: "lib.so" },
    ],
  });
  const { services, ...rest } = await loadServiceDescription(path, now);
  expect(rest).toEqual({
    customer: "Example GmbH",
    kind: "full",
    graceDays: 14,
    enforcement: "strict",
    notBefore: "2026-11-21T11:00:00.000Z",
    expires: "2027-11-21T12:00:00.000Z",
  });
  const folder = dirname(path);
  expect(services[0]).toMatchObject({
    version: "1",
    library: join(folder, "lib.so"),
    models: [join(folder, "../m.onnx"), "/abs/n.onnx"],
    limits: { runs: 5, runTimeMs: 36_000_000, jobTimeMs: 500, concurrency: 1, notBefore: null, expires: null },
  });
  expect(services[1]!.limits).toMatchObject({ runs: null, runTimeMs: null, jobTimeMs: null });
});

test("a parameter may be the text of a file, taken as it is", async () => {
  const path = useDescription({
    customer: "c",
    license,
    services: [{ ...service, parameters: { kind: "text-line", characters: { file: "keys.txt" } } }],
  });
  writeFileSync(join(dirname(path), "keys.txt"), "a\nä\n\n");
  const { services } = await loadServiceDescription(path, now);
  expect(services[0]!.parameters).toEqual({ kind: "text-line", characters: "a\nä\n\n" });
});

test("a wrong description is refused with file, line and key", async () => {
  const yaml = (limits: string) =>
    `customer: c\nlicense: { validDays: 1 }\nservices:\n  - name: s\n    library: l.so\n    limits:\n      ${limits}\n`;
  expect(await messageOf(yaml("runz: 3"))).toMatch(/services\.yaml:7: services\[0\]\.limits\.runz: /);
  expect(await messageOf(yaml("runTime: 10"))).toMatch(/services\.yaml:7: services\[0\]\.limits\.runTime: .*duration/);
  expect(await messageOf(yaml("runs: 1\n      runs: 2"))).toMatch(/services\.yaml:8: /);
  expect(await messageOf("customer: [")).toMatch(/services\.yaml:1: /);
});

test.each([
  ["nothing", ""],
  ["a list", "- a\n"],
  ["no services", { customer: "c", license, services: [] }],
  ["two services of one name", { customer: "c", license, services: [service, service] }],
  ["a service name that is a path", { customer: "c", license, services: [{ ...service, name: "../evil" }] }],
  ["neither validDays nor expires", { customer: "c", license: {}, services: [service] }],
  ["both", { customer: "c", license: { validDays: 1, expires: "2030-01-01" }, services: [service] }],
  ["an end before the start", { customer: "c", license: { expires: "2020-01-01" }, services: [service] }],
  ["a date that does not exist", { customer: "c", license: { expires: "2030-02-30" }, services: [service] }],
  ["an unknown kind", { customer: "c", license: { ...license, kind: "demo" }, services: [service] }],
  [
    "a setting of the reserved name",
    { customer: "c", license, services: [{ ...service, config: { entitlements: {} } }] },
  ],
  ["an entitlement that is a list", { customer: "c", license, services: [{ ...service, entitlements: { a: [1] } }] }],
  [
    "an entitlement whose name is no label",
    { customer: "c", license, services: [{ ...service, entitlements: { "a b": 1 } }] },
  ],
  ["zero days", { customer: "c", license: { validDays: 0 }, services: [service] }],
  ["a run time of zero", { customer: "c", license, services: [{ ...service, limits: { runTime: "0s" } }] }],
  ["a fractional duration", { customer: "c", license, services: [{ ...service, limits: { jobTime: "1.5s" } }] }],
  ["an alias bomb", `a: &a [x,x]\nb: &b [*a,*a]\ncustomer: c\n`],
  ["a second document", "customer: c\n---\ncustomer: d\n"],
])("%s is refused", async (_, description) => {
  const load = () => loadServiceDescription(useDescription(description), now);
  expect(await codeOfAsync(load)).toBe("VENDOR_DESCRIPTION_INVALID");
});

test("a description that is not there is unreadable", async () => {
  expect(await codeOfAsync(() => loadServiceDescription("/nonexistent.yaml", now))).toBe("FILE_UNREADABLE");
});
