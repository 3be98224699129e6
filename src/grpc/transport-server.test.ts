import { readFileSync } from "node:fs";
import type { Http2Server as NodeHttp2Server } from "node:http2";
import { createRequire } from "node:module";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { parseConfig, resolveGrpcLimits } from "../config/index.ts";
import { FOREIGN_WINDOW_BYTES } from "../http2/index.ts";
import { NodeTransportServer, nodeServerInside } from "./node-transport-server.ts";
import { credentialsInside, serverInside } from "./transport-server.ts";

/** What of grpc-js the transport hangs on. Where this fails, read `createHttp2Server` of the new version first. */
describe("the inside of grpc-js", () => {
  test("is that of the minor version that was read", () => {
    const manifest = readFileSync(createRequire(import.meta.url).resolve("@grpc/grpc-js/package.json"), "utf8");
    expect(JSON.parse(manifest).version).toMatch(/^1\.14\./);
  });

  test.each([
    ["Server", Server.prototype, serverInside],
    ["Server, over node:http2,", Server.prototype, nodeServerInside],
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

  test("makes node's HTTP/2 server with its settings, and tells it of streams in one place", () => {
    const node = new NodeTransportServer(
      { "grpc.max_concurrent_streams": 7 },
      { limits: resolveGrpcLimits(parseConfig({}, "test")), direct: new Map() },
    );
    const inside = node as unknown as {
      readonly commonServerOptions: { readonly settings: object };
      createHttp2Server(credentials: ServerCredentials): NodeHttp2Server;
    };
    const settings = { maxConcurrentStreams: 7, initialWindowSize: FOREIGN_WINDOW_BYTES, maxFrameSize: 2 ** 20 };
    expect(inside.commonServerOptions.settings).toEqual(settings);
    const source = String((Server.prototype as unknown as { createHttp2Server: unknown }).createHttp2Server);
    expect(source).toContain("http2.createServer(this.commonServerOptions)");
    expect(source).toContain("this.commonServerOptions), constructorOptions)");
    const plain = new Server() as unknown as typeof inside;
    expect(plain.createHttp2Server(ServerCredentials.createInsecure()).listeners("stream")).toHaveLength(1);
    expect(inside.createHttp2Server(ServerCredentials.createInsecure()).listeners("stream")).toHaveLength(1);
  });
});
