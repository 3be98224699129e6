import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { parseConfig, resolveListen } from "../config/index.ts";
import { errorFromBind, verifyBindable } from "./bind.ts";

const listenAt = (listen: string) => resolveListen(parseConfig({ listen, insecure: true }, "test"));

test("a free address can be bound, and is free again afterwards", async () => {
  const { port } = await usePort();
  await verifyBindable(listenAt(`127.0.0.1:${port}`));
  await verifyBindable(listenAt(`127.0.0.1:${port}`));
});

test("an address that another program has is in use", async () => {
  const { port, taken } = await usePort();
  taken.listen(port, "127.0.0.1");
  await once(taken, "listening");
  await expect(verifyBindable(listenAt(`127.0.0.1:${port}`))).rejects.toMatchObject({ code: "ADDRESS_IN_USE" });
});

// 192.0.2.0/24 and .invalid are set aside for documents and tests: no machine has them.
test.each(["192.0.2.1:0", "nobody.invalid:8001"])("%s is no address of this machine", async (listen) => {
  await expect(verifyBindable(listenAt(listen))).rejects.toMatchObject({ code: "ADDRESS_UNUSABLE" });
});

test("the words of gRPC are understood too", () => {
  const wrapped = (code: string) => new Error(`No address added out of total 1 resolved errors: [listen ${code}: x]`);
  expect(errorFromBind("a:1", wrapped("EADDRINUSE")).code).toBe("ADDRESS_IN_USE");
  expect(errorFromBind("a:1", wrapped("EADDRNOTAVAIL")).message).toBe("a:1: this machine does not have that address");
  expect(errorFromBind("a:1", new Error("Name resolution failed for target dns:a:1")).code).toBe("ADDRESS_UNUSABLE");
});

/** A port that was free a moment ago, and a listener that is closed with the test. */
async function usePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  const taken = createServer();
  onTestFinished(() => void taken.close());
  return { port, taken };
}
