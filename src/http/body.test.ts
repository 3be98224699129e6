import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { expect, onTestFinished, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import { RestClient } from "../../test/helpers/rest-client.ts";
import { readBody } from "./body.ts";
import { BodyBudget } from "./body-budget.ts";
import { failureFromError } from "./errors.ts";

const attack = attacksOn("the server's time and memory");

/** A server that answers how long a body is, once it is let; all bodies together have 1,000 bytes, each 800. */
async function useReader(budget: BodyBudget, answers: Promise<void> = Promise.resolve()): Promise<RestClient> {
  const server = createServer(async (request, response) => {
    try {
      const { length } = await readBody(request, response, { maxBytes: 800, budget });
      await answers;
      response.end(`${length}`);
    } catch (error) {
      const { status, headers, body } = failureFromError(error);
      response.writeHead(status, { ...headers }).end(JSON.stringify(body));
    }
  });
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return new RestClient(`127.0.0.1:${(server.address() as AddressInfo).port}`, null);
}

test("a body is what was sent, or what it is unpacked", async () => {
  const client = await useReader(new BodyBudget(1000));
  expect((await client.post("/", Buffer.alloc(800))).body.toString()).toBe("800");
  const headers = { "content-encoding": "gzip" };
  expect((await client.post("/", gzipSync(Buffer.alloc(700)), { headers })).body.toString()).toBe("700");
  expect(await client.post("/", Buffer.alloc(801))).toMatchObject({ status: 413, code: "REQUEST_TOO_LARGE" });
  expect(await client.post("/", gzipSync(Buffer.alloc(801)), { headers })).toMatchObject({ code: "REQUEST_TOO_LARGE" });
});

test(
  "all bodies together are no more than there is memory for, and it comes back with every answer",
  attack("fills the memory with bodies of many REST calls", "more than all may have, whole and unpacked"),
  async () => {
    const budget = new BodyBudget(1000);
    const { promise, resolve } = Promise.withResolvers<void>();
    const client = await useReader(budget, promise);
    const first = client.post("/", Buffer.alloc(600));
    await expect.poll(() => budget.heldBytes).toBe(600);
    const packed = { headers: { "content-encoding": "gzip" } };
    for (const [body, request] of [
      [Buffer.alloc(500), {}],
      [gzipSync(Buffer.alloc(500)), packed],
    ] as const) {
      expect(await client.post("/", body, request)).toMatchObject({ status: 429, code: "SERVER_OVERLOADED" });
    }
    await expect.poll(() => budget.heldBytes).toBe(600); // what was refused is not held
    resolve();
    expect((await first).status).toBe(200);
    await expect.poll(() => budget.heldBytes).toBe(0);
  },
);
