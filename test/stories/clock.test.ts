import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { attacksOn } from "../helpers/attack.ts";
import { type Machine, useMachine, whyNoMachine } from "../helpers/machine.ts";
import { nativeProgram } from "../helpers/native.ts";
import { begin, hello, Operator, step, storyTimeout, untilLeft, useStick, Vendor, wait } from "./cast.ts";

const attack = attacksOn("the ledger and the clock");

const whyNot = whyNoMachine();

/**
 * A host whose clock is wrong. The clock is really set, for every program on that host and while they run; no program
 * is told a time.
 */

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

async function useHost(): Promise<{ vendor: Vendor; operator: Operator; machine: Machine }> {
  const stick = useStick();
  const machine = await useMachine();
  return { vendor: new Vendor(stick), operator: new Operator(stick, machine), machine };
}

test("the clock is set back, ahead, and right again", {
  ...storyTimeout,
  ...attack("sets the clock of the whole host", "really: two days back, a year ahead, over a restart"),
}, async ({ skip }) => {
  skip(whyNot !== undefined, whyNot);
  const { vendor, operator, machine } = await useHost();
  await step("0. A host has a license for 40 days.", () => begin(vendor, operator, { validDays: 40, graceDays: 5 }));

  await step("1. Bringing another clock into the server, as faketime does, is refused.", async () => {
    const preload = `LD_PRELOAD='${nativeProgram("libtest_clock.so")}'`;
    const said = await operator.isRefused(`${preload} signet serve`, 2, "ENVIRONMENT_UNSAFE");
    expect(said).toContain("expected no LD_PRELOAD, found it set");
  });

  const server = await operator.serves();
  await step("2. A clock that is a minute slow bothers nobody.", async () => {
    machine.setClock(-MINUTE_MS);
    await operator.types(hello);
    expect((await operator.types("signet license status")).out).toMatch(/^state +good$/m);
  });

  await step("3. Two days back, and calls are refused while the server runs.", async () => {
    machine.setClock(-2 * DAY_MS);
    const said = await operator.isRefused(hello, 3, "CLOCK_SET_BACK");
    expect(said).toMatch(
      /the clock says \S+, but the ledger has already seen \S+\. Set the clock right: a running server/,
    );
    await server.says(/WARN: calls are refused by the license service=identity CLOCK_SET_BACK/);
    const status = await operator.types("signet license status");
    expect(status.out).toMatch(/^state +REFUSED: CLOCK_SET_BACK$/m);
    expect(status.err).not.toMatch(/expire/);
  });

  await step("4. The clock is set right, and the same server goes on.", async () => {
    machine.setClock(0);
    await operator.types(hello);
    expect((await operator.types("signet license status")).out).toMatch(/^state +good$/m);
  });

  await step("5. A year ahead, the license has expired; a job that runs is not ended.", async () => {
    const running = operator.types(wait);
    await untilLeft(operator, "faulty", 999);
    machine.setClock(365 * DAY_MS);
    const said = await operator.isRefused(hello, 3, "LICENSE_EXPIRED");
    expect(said).toMatch(/expired \S+ with 5 days of grace\. Send a fresh `signet host request`/);
    await server.says(/WARN: the license expired/);
    expect((await running).out).toContain("8000");
  });

  await step("6. A mistyped year that is corrected has done no harm.", async () => {
    machine.setClock(0);
    await operator.types(hello);
    expect(await server.ends("SIGTERM")).toBe(0);
    await operator.types("signet license verify");
  });

  await step("7. Set back while the server is down, it does not start.", async () => {
    machine.setClock(-2 * DAY_MS);
    await operator.isRefused("signet serve", 3, "CLOCK_SET_BACK");
    await operator.isRefused("signet license verify > steps", 3, "CLOCK_SET_BACK");
    expect((await operator.types("cat steps")).out).toContain("✗ the clock is not far behind: CLOCK_SET_BACK");
    machine.setClock(0);
    await operator.types("signet license verify");
  });

  await step("8. A year ahead over a restart of the machine is believed, and does not go away.", async () => {
    machine.setClock(365 * DAY_MS);
    await operator.isRefused("signet serve", 3, "LICENSE_EXPIRED");
    machine.restart();
    await operator.isRefused("signet serve", 3, "LICENSE_EXPIRED");
    machine.setClock(0);
    const said = await operator.isRefused("signet serve", 3, "CLOCK_SET_BACK");
    expect(said).toContain(
      'If the clock is right, it was far ahead before; docs/guides/operate.md says under "When the',
    );
    const doctor = await operator.types("signet doctor || [ $? = 1 ]");
    expect(doctor.out).toMatch(/clock\n +problem +ledger: CLOCK_SET_BACK: the clock says/);
  });

  await step("9. The operator gives the license back and begins as a new host, as the guide says.", async () => {
    await operator.types("signet license deactivate --out $USB/receipt.pem");
    mkdirSync(join(operator.directory, "old-host"));
    await operator.types("cd data && mv host ledger audit ../old-host/");
    await operator.types("signet host request --out $USB/new-host.req");
    await vendor.issues("new-host.req", "bundle-2", "--moved-from $USB/receipt.pem");
    await operator.types("signet license install $USB/bundle-2");
    await operator.serves();
    await operator.types(hello);
    // Three runs were used before, and one now.
    await untilLeft(operator, "identity", 996);
    await operator.types("signet audit verify");
  });
});

test("a license ends: in its grace, after it, and where that is only said", storyTimeout, async ({ skip }) => {
  skip(whyNot !== undefined, whyNot);
  const { vendor, operator, machine } = await useHost();
  await step("0. A host has a license for 4 days, with 3 of grace.", () =>
    begin(vendor, operator, { validDays: 4, graceDays: 3 }),
  );
  const server = await operator.serves();

  await step("1. Half a day after its end everything runs, with warnings.", async () => {
    machine.setClock(4.5 * DAY_MS);
    await server.says(/WARN: the license expired \S+ and runs in its grace, 2 days left/);
    await operator.types(hello);
    const status = await operator.types("signet license status");
    expect(status.out).toMatch(/^expires +\S+: EXPIRED, 2 days of grace left\n(.*\n)*state +good$/m);
    expect(status.err).toMatch(/runs in its grace, 2 days left\.\nTo renew, send a fresh `signet host request`/);
  });

  await step("2. After the days of grace nothing runs, and the server does not start.", async () => {
    machine.setClock(8 * DAY_MS);
    await operator.isRefused(hello, 3, "LICENSE_EXPIRED");
    await operator.isRefused("signet check", 3, "LICENSE_EXPIRED");
  });

  await step("3. The vendor renews it as advisory, and the same server goes on with warnings only.", async () => {
    await operator.types("signet host request --out $USB/renew.req");
    const { out } = await vendor.types("signet-license register show --vendor acme --json");
    vendor.describes({ validDays: 4, enforcement: "advisory" });
    await vendor.issues("renew.req", "bundle-2", `--renew ${JSON.parse(out)[0].licenseId}`);
    await operator.types("signet license install $USB/bundle-2");
    await server.says(/INFO: the installed license is in force.* sequence=2/);
    await operator.types(hello);
    const status = await operator.types("signet license status");
    expect(status.out).toMatch(/^expires +\S+: EXPIRED\nenforcement +advisory\n(.*\n)*state +good$/m);
  });
});
