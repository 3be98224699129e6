import { expect, test } from "vitest";
import { attacksOn } from "../helpers/attack.ts";
import { type Machine, networkCounter, useMachine, whyNoMachine } from "../helpers/machine.ts";
import { begin, hello, Operator, step, storyTimeout, untilLeft, useStick, Vendor } from "./cast.ts";

const attack = attacksOn("licenses");
const whyNot = whyNoMachine();

/** What the kernel counts when a program looks a name up, or tries any address but loopback. */
function attempts(machine: Machine): number {
  return networkCounter(machine, "Ip", "OutNoRoutes") + networkCounter(machine, "Udp", "OutDatagrams");
}

test("hosts without a network, and one stick between them and the vendor", {
  ...storyTimeout,
  ...attack("goes on with a license that was given back", "with the two programs: a start, another installation"),
}, async ({ skip }) => {
  skip(whyNot !== undefined, whyNot);
  const stick = useStick();
  const [machine, other] = [await useMachine("none"), await useMachine("none")];
  const [vendor, operator, successor] = [new Vendor(stick), new Operator(stick, machine), new Operator(stick, other)];

  await step("0. The host has no network but loopback.", async () => {
    const { out } = await operator.types("cat /proc/net/dev");
    expect(out.match(/^ *\w+:/gm)!.map((name) => name.trim())).toEqual(["lo:"]);
    expect((await operator.types("cat /proc/net/route")).out.trim().split("\n")).toHaveLength(1);
  });

  await step("1. Request, license and root come and go on the stick.", async () => {
    await begin(vendor, operator, { validDays: 40 });
    expect((await vendor.types("signet-license inspect $USB/host.req")).out).toContain("It has used no license yet.");
    await vendor.types("signet-license inspect --root acme/root.pem $USB/bundle/license.lic");
    await operator.types("signet host show && signet check && signet doctor");
  });

  const server = await step("2. The host serves, and clients on it call.", async () => {
    const serving = await operator.serves();
    await operator.types(hello);
    await untilLeft(operator, "identity", 999);
    return serving;
  });

  await step("3. The license is renewed while the server runs.", async () => {
    await operator.types("signet host request --out $USB/renew.req");
    vendor.describes({ validDays: 365 }, 1500);
    await vendor.issues("renew.req", "bundle-2", "--renew $USB/bundle/license.lic");
    await operator.types("signet license install $USB/bundle-2");
    await server.says(/INFO: the installed license is in force.* sequence=2/);
    await operator.types(hello);
    await untilLeft(operator, "identity", 1498);
  });

  await step("4. It is given back, for a receipt; this host refuses it from then on.", async () => {
    await operator.isRefused("signet license deactivate --out $USB/receipt.pem", 1, "LEDGER_BUSY");
    expect(await server.ends("SIGTERM")).toBe(0);
    const { out } = await operator.types("signet license deactivate --out $USB/receipt.pem");
    expect(out).toMatch(/^identity +2 runs, /m);
    await operator.isRefused("signet serve", 3, "LICENSE_DEACTIVATED");
    await operator.isRefused("signet license install $USB/bundle-2", 3, "LICENSE_DEACTIVATED");
  });

  await step("5. A second host gets what is left of it.", async () => {
    await successor.types("signet host request --out $USB/second.req && signet trust add $USB/root.pem");
    expect((await vendor.types("signet-license inspect $USB/receipt.pem")).out).toMatch(/identity +2/);
    await vendor.issues("second.req", "bundle-3", "--moved-from $USB/receipt.pem");
    await successor.types("signet license install $USB/bundle-3");
    await successor.types("signet access add --name web-shop --service identity > token");
    await successor.serves();
    await successor.types(hello);
    await untilLeft(successor, "identity", 1497);
  });

  await step("6. Nobody has so much as tried to reach anything; the kernel would have counted it.", async () => {
    expect([attempts(machine), attempts(other)]).toEqual([0, 0]);
    await operator.types(`node -e 'require("dns").lookup("example.com", () => {})'`);
    expect(attempts(machine)).toBeGreaterThan(0);
  });
});
