import { expect, test } from "vitest";
import { attacksOn } from "../helpers/attack.ts";
import { begin, hello, Operator, step, storyTimeout, useStick, Vendor } from "./cast.ts";

const attack = attacksOn("licenses");

const SOMEBODY_ELSES = "00000000-0000-4000-8000-000000000000";

test("a license is withdrawn for good, and an issuer is replaced", {
  ...storyTimeout,
  ...attack("brings a withdrawn license back", "with the two programs: an older list, none, a stolen issuer"),
}, async () => {
  const stick = useStick();
  const [vendor, operator, neighbor] = [new Vendor(stick), new Operator(stick), new Operator(stick)];
  await step("0. A host has a license, and serves.", () => begin(vendor, operator, { validDays: 40 }));
  const server = await operator.serves();

  await step("1. The vendor withdraws somebody else's license; that list concerns nobody here.", async () => {
    await vendor.types(`signet-license revoke --license ${SOMEBODY_ELSES} --vendor acme --out $USB/acme-1.crl`);
    await operator.types("signet trust revocations add $USB/acme-1.crl");
    await operator.types(hello);
  });

  const licenseId = await step("2. The vendor withdraws this one, and puts the list on the stick.", async () => {
    const { out } = await vendor.types("signet-license register show --vendor acme --json");
    const { licenseId } = JSON.parse(out)[0];
    const what = `--license ${licenseId} --reason "not paid"`;
    await vendor.types(`signet-license revoke ${what} --vendor acme --out $USB/acme-2.crl`);
    expect((await vendor.types("signet-license inspect $USB/acme-2.crl")).out).toContain(licenseId);
    return licenseId;
  });

  await step("3. The operator installs it, and the running server stops what the license serves.", async () => {
    const { err } = await operator.types("signet trust revocations add $USB/acme-2.crl");
    expect(err).toContain("`signet license verify` says whether this host's license is on it.");
    await server.says(/ERROR: the license in force was withdrawn; its services stop/);
    const said = await operator.isRefused(hello, 3, "LICENSE_REVOKED");
    expect(said).toContain("Ask your vendor for a new one.");
    await server.says(/ERROR: the installed license is refused/);
    const status = (await operator.types("signet license status")).out;
    expect(status).toMatch(/^state +REFUSED: LICENSE_REVOKED$/m);
    expect(status).toMatch(/^in force +none, STOPPED: LICENSE_REVOKED$/m);
    expect((await operator.types("signet trust revocations list")).out).toContain(licenseId);
    expect(await server.ends("SIGTERM")).toBe(0);
    await operator.isRefused("signet serve", 3, "LICENSE_REVOKED");
  });

  await step("4. Neither the older list nor none brings it back.", async () => {
    await operator.isRefused("signet trust revocations add $USB/acme-1.crl", 3, "REVOCATION_LIST_SUPERSEDED");
    await operator.types("rm data/revocation/*.crl");
    const said = await operator.isRefused("signet license verify", 3, "REVOCATION_LIST_SUPERSEDED");
    expect(said).toContain("Install the newest list your vendor sent");
    await operator.isRefused("signet trust revocations add $USB/acme-1.crl", 3, "REVOCATION_LIST_SUPERSEDED");
    await operator.types("signet trust revocations add $USB/acme-2.crl");
    await operator.isRefused("signet license verify", 3, "LICENSE_REVOKED");
  });

  const next = await step(
    "5. The customer pays, and gets another license; the withdrawn one is not renewed.",
    async () => {
      await operator.types("signet host request --out $USB/second.req");
      const places = "--request $USB/second.req --services services.yaml --vendor acme --out $USB/none --accept-weak";
      await vendor.isRefused(`signet-license issue ${places} --renew ${licenseId}`, 3, "ALREADY_WITHDRAWN");
      await vendor.issues("second.req", "bundle-2");
      await operator.types("signet license install $USB/bundle-2");
      const serving = await operator.serves();
      await operator.types(hello);
      return serving;
    },
  );

  const stolen = await step("6. The vendor makes a new issuer. What the earlier one signed goes on.", async () => {
    const { issuerKeyId } = JSON.parse((await vendor.types("cat acme/vendor.json")).out);
    await vendor.types("signet-license vendor rotate --vendor acme");
    await operator.types(`${hello} && signet license verify`);
    await neighbor.types("signet host request --out $USB/neighbor.req && signet trust add $USB/root.pem");
    await vendor.issues("neighbor.req", "neighbor-bundle");
    await neighbor.types("signet license install $USB/neighbor-bundle");
    return issuerKeyId;
  });

  await step("7. The earlier issuer's key was stolen. What it signed stops, and only that.", async () => {
    await vendor.types(`signet-license revoke --issuer ${stolen} --vendor acme --out $USB/acme-root.crl`);
    for (const host of [operator, neighbor]) await host.types("signet trust revocations add $USB/acme-root.crl");
    await next.says(/ERROR: the license in force was withdrawn; its services stop/);
    await operator.isRefused(hello, 3, "LICENSE_REVOKED");
    await neighbor.types("signet license verify");
  });

  await step("8. Renewed by the new issuer, the license is taken over by the same server.", async () => {
    await operator.types("signet host request --out $USB/third.req");
    await vendor.issues("third.req", "bundle-3", "--renew $USB/bundle-2/license.lic");
    await operator.types("signet license install $USB/bundle-3");
    await next.says(/INFO: the installed license is in force/);
    await operator.types(hello);
  });
});
