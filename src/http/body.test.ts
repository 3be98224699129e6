import { once } from "node:events";
import { createServer, type IncomingMessage, request } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { expect, onTestFinished, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import { RestClient } from "../../test/helpers/rest-client.ts";
import { readBody } from "./body.ts";
import { BodyBudget, PIECE_BYTES } from "./body-budget.ts";
import { failureFromError } from "./errors.ts";

const attack = attacksOn("the server's time and memory");

/** A server that answers how long a body is, once it is let; each has 800 bytes. */
async function useReader(budget: BodyBudget, answers?: Promise<void>): Promise<RestClient> {
  return new RestClient(await useReaderAddress(budget, answers), null);
}

async function useReaderAddress(budget: BodyBudget, answers: Promise<void> = Promise.resolve()): Promise<string> {
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
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("a body is what was sent, or what it is unpacked", async () => {
  const client = await useReader(new BodyBudget(3000));
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
    const budget = new BodyBudget(2000);
    const { promise, resolve } = Promise.withResolvers<void>();
    const client = await useReader(budget, promise);
    const first = client.post("/", Buffer.alloc(600));
    await expect.poll(() => budget.heldBytes).toBe(600 + PIECE_BYTES);
    const packed = { headers: { "content-encoding": "gzip" } };
    for (const [body, request] of [
      [Buffer.alloc(500), {}],
      [gzipSync(Buffer.alloc(500)), packed],
    ] as const) {
      expect(await client.post("/", body, request)).toMatchObject({ status: 429, code: "SERVER_OVERLOADED" });
    }
    await expect.poll(() => budget.heldBytes).toBe(600 + PIECE_BYTES); // what was refused is not held
    resolve();
    expect((await first).status).toBe(200);
    await expect.poll(() => budget.heldBytes).toBe(0);
  },
);

test(
  "each piece of a body counts with what it costs, however small it is",
  attack("sends a body byte by byte", "pieces of one byte, as many as there is memory for"),
  async () => {
    const budget = new BodyBudget(3 * (PIECE_BYTES + 1));
    const address = await useReaderAddress(budget);
    const call = request(`http://${address}`, { method: "POST", agent: false });
    const answered = once(call, "response") as Promise<[IncomingMessage]>;
    for (let piece = 1; piece <= 3; piece++) {
      call.write("x");
      await expect.poll(() => budget.heldBytes).toBe(piece * (PIECE_BYTES + 1));
    }
    call.write("x");
    const [{ headers, statusCode }] = await answered;
    expect({ status: statusCode, code: headers["signet-code"] }).toEqual({ status: 429, code: "SERVER_OVERLOADED" });
    call.destroy();
    await expect.poll(() => budget.heldBytes).toBe(0);
  },
);
