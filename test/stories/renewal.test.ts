import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { expect, onTestFinished, test } from "vitest";
import { attacksOn } from "../helpers/attack.ts";
import { inferRequestBytes } from "../helpers/bare-client.ts";
import { useMachine, whyNoMachine } from "../helpers/machine.ts";
import { begin, hello, Operator, step, storyTimeout, untilLeft, useStick, Vendor, wait } from "./cast.ts";

const attack = attacksOn("licenses");
const whyNot = whyNoMachine();

const DAY_MS = 86_400_000;

/** What a program that calls the server is told of its license, with an answer. */
async function trailersOf({ directory }: Operator): Promise<string[]> {
  const read = (name: string) => readFileSync(join(directory, name), "utf8").trim();
  const client = new Client(read("address"), credentials.createInsecure());
  onTestFinished(() => client.close());
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${read("token")}`);
  const body = inferRequestBytes({
    model_name: "identity",
    inputs: [{ name: "input", datatype: "UINT8", shape: [1] }],
    raw_input_contents: [Buffer.of(1)],
  });
  const asIs = (value: Buffer) => value;
  const path = "/inference.GRPCInferenceService/ModelInfer";
  const trailers = await new Promise<Metadata>((resolve, reject) => {
    client
      .makeUnaryRequest(path, asIs, asIs, body, metadata, (error) => error && reject(error))
      .on("status", (status) => resolve(status.metadata));
  });
  return ["signet-license-state", "signet-license-days-left"].flatMap((name) => trailers.get(name).map(String));
}

test("a license that ends is renewed while its server runs", {
  ...storyTimeout,
  ...attack("goes back behind a renewal", "with the two programs: the old license, an older copy of the host's data"),
}, async ({ skip }) => {
  skip(whyNot !== undefined, whyNot);
  const stick = useStick();
  const machine = await useMachine();
  const [vendor, operator] = [new Vendor(stick), new Operator(stick, machine)];
  await step("0. A host has a license for 40 days, and serves.", () => begin(vendor, operator, { validDays: 40 }));
  const server = await operator.serves();
  expect(await trailersOf(operator)).toEqual([]);

  for (const [day, left] of [
    [15, "25 days"],
    [30, "10 days"],
    [36, "4 days"],
    [39.5, "less than a day"],
  ] as const) {
    await step(`1. It ends in ${left}: the log and the status say so.`, async () => {
      machine.setClock(day * DAY_MS);
      await server.says(new RegExp(`WARN: the license expires \\S+, in ${left}`));
      const { err } = await operator.types("signet license status");
      expect(err).toMatch(new RegExp(`^the license expires \\S+, in ${left}\\.\\nTo renew, send a fresh`));
    });
  }
  await step("2. Clients are told too.", async () => {
    expect(await trailersOf(operator)).toEqual(["expiring", "0"]);
  });

  await step("3. The operator's request quotes what was used.", async () => {
    await operator.types(hello);
    await untilLeft(operator, "identity", 997);
    const { out } = await operator.types("signet host request --out $USB/renew.req");
    expect(out).toMatch(/^usage +identity 3 runs, by a ledger of \d+ records$/m);
    expect((await vendor.types("signet-license inspect $USB/renew.req")).out).toMatch(/identity +3/);
  });

  const licenseId = await step(
    "4. The vendor finds the license in the register, and renews it with 500 runs more.",
    async () => {
      const { out } = await vendor.types("signet-license register show --vendor acme --json");
      const { licenseId } = JSON.parse(out)[0];
      vendor.describes({ validDays: 365 }, 1500);
      const flags = `--vendor acme --accept-weak --out $USB/bundle-2 --renew ${licenseId}`;
      const issue = `signet-license issue --request $USB/renew.req --services services.yaml ${flags}`;
      const { out: issued, err } = await vendor.types(issue);
      expect(issued).toMatch(new RegExp(`^license +${licenseId}, sequence 2$`, "m"));
      expect(err).toContain("identity: 1500 runs, 3 runs already used: 1497 runs left.");
      return licenseId;
    },
  );

  await step("5. It is installed while calls run and others come; none is dropped.", async () => {
    const running = [operator.types(wait), operator.types(wait)];
    const coming = operator.types(`until [ -e renewed ]; do ${hello} >> answers || exit 1; done`);
    await untilLeft(operator, "faulty", 998);
    const { err } = await operator.types("signet license install $USB/bundle-2");
    expect(err).toContain("The running server takes it over within seconds; `signet license status` says when it has.");
    await server.says(new RegExp(`INFO: the installed license is in force licenseId=${licenseId} sequence=2`));
    await operator.types(`${hello} >> answers && touch renewed`);
    for (const { out } of await Promise.all(running)) expect(out).toContain("8000");
    await coming;
  });

  await step("6. Dates and limits are the new ones, what was used stays used, and the warnings end.", async () => {
    const answers = readFileSync(join(operator.directory, "answers"), "utf8").match(/"outputs"/g)!.length;
    await untilLeft(operator, "identity", 1500 - 3 - answers);
    await untilLeft(operator, "faulty", 1500 - 2);
    const { out, err } = await operator.types("signet license status");
    expect(out).toMatch(/^expires +\S+, in 325 days$/m);
    expect(out).toMatch(/^in force +this license, since /m);
    expect(err).toBe("");
    expect(await trailersOf(operator)).toEqual([]);
  });

  await step("7. The license before it is refused from now on.", async () => {
    const said = await operator.isRefused("signet license install $USB/bundle", 3, "LICENSE_SUPERSEDED");
    expect(said).toContain("Install the newest license your vendor sent.");
    expect((await operator.types("signet license status")).out).toMatch(/sequence 2$/m);
  });

  await step("8. A host whose ledger went backwards gets no license any more.", async () => {
    expect(await server.ends("SIGTERM")).toBe(0);
    await operator.types("cp -a data snapshot");
    const next = await operator.serves();
    await operator.types(hello);
    expect(await next.ends("SIGTERM")).toBe(0);
    await operator.types("signet host request --out $USB/third.req");
    await vendor.issues("third.req", "bundle-3", `--renew ${licenseId}`);
    await operator.types("rm -r data && mv snapshot data");
    // The host itself cannot tell: everything it has is of one moment.
    await operator.types("signet license verify && signet host request --out $USB/fourth.req");
    const flags = `--vendor acme --accept-weak --out $USB/bundle-4 --renew ${licenseId}`;
    const issue = `signet-license issue --request $USB/fourth.req --services services.yaml ${flags}`;
    const said = await vendor.isRefused(issue, 3, "HOST_LEDGER_WENT_BACK");
    expect(said).toMatch(/expected record \d+ or later, found \d+\. Find out why with the operator/);
  });
});
