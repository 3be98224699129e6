import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { credentialsInside, serverInside } from "./transport-server.ts";

/** What of grpc-js the transport hangs on. Where this fails, read `createHttp2Server` of the new version first. */
describe("the inside of grpc-js", () => {
  test("is that of the minor version that was read", () => {
    const manifest = readFileSync(createRequire(import.meta.url).resolve("@grpc/grpc-js/package.json"), "utf8");
    expect(JSON.parse(manifest).version).toMatch(/^1\.14\./);
  });

  test.each([
    ["Server", Server.prototype, serverInside],
    ["ServerCredentials", ServerCredentials.prototype, credentialsInside],
  ])("has the methods of %s that are replaced or called", (_, prototype, names) => {
    for (const name of names) expect(prototype).toHaveProperty(name, expect.any(Function));
  });

  test("copies each message, so that the transport may use its memory again", async () => {
    const { StreamDecoder } = await import("@grpc/grpc-js/build/src/stream-decoder.js");
    const framed = Buffer.concat([Buffer.of(0, 0, 0, 0, 3), Buffer.from("abc")]);
    for (const pieces of [[framed], [framed.subarray(0, 5), framed.subarray(5)]]) {
      const decoder = new StreamDecoder(100);
      const [message] = pieces.flatMap((piece) => {
        const bytes = Buffer.from(piece);
        const out = decoder.write(bytes);
        // The prefix comes in a buffer of its own, which is not used again.
        if (piece.length !== 5) bytes.fill(0);
        return out;
      });
      expect(message).toEqual(framed);
    }
  });

  test("makes its HTTP/2 server where it is replaced: when an address is bound, and once", () => {
    const source = String((Server.prototype as unknown as { bindOneAddress: unknown }).bindOneAddress);
    expect(source.match(/this\.createHttp2Server\(/g)).toHaveLength(1);
    expect(source).not.toContain("http2.create");
  });
});
