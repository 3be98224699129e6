import { connect, type Socket } from "node:net";
import { deflateSync, gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { attacksOn, observed } from "../helpers/attack.ts";
import {
  BareClient,
  type BareInferRequest,
  callByHand,
  failureOf,
  frame,
  useBareClient,
} from "../helpers/bare-client.ts";
import { identityService, startLicensedServer } from "../helpers/licensed-host.ts";

const attack = attacksOn("calls");

const MIB = 2 ** 20;
const INFER = "/inference.GRPCInferenceService/ModelInfer";
const METADATA = "/inference.GRPCInferenceService/ServerMetadata";
const LIVE = "/inference.GRPCInferenceService/ServerLive";

let host: Awaited<ReturnType<typeof startLicensedServer>>;
let client: BareClient;

beforeAll(async () => {
  const service = { ...identityService, limits: { concurrency: 2 } };
  host = await startLicensedServer([service], { maxMessageMiB: 2, defaults: { slotMiB: 1, maxQueue: 1000 } });
  client = new BareClient(host.server.address, host.token);
});

// Whatever a client sent: the server lives, in the same process, and answers the next one.
afterEach(async () => {
  expect((await client.infer(request(Buffer.of(1, 2, 3)))).raw_output_contents).toEqual([Buffer.of(1, 2, 3)]);
});

afterAll(async () => {
  client?.close();
  await host?.end();
});

function request(data: Buffer): BareInferRequest {
  return {
    model_name: "identity",
    inputs: [{ name: "input", datatype: "UINT8", shape: [data.length] }],
    raw_input_contents: [data],
  };
}

function authorization(): Record<string, string> {
  return { authorization: `Bearer ${host.token}` };
}

/** The bytes of a request, whose data is the last field. */
function requestBytes(data: Buffer): Buffer {
  const input = Buffer.concat([Buffer.from("\x0a\x05input\x12\x05UINT8\x18"), varint(data.length)]);
  return Buffer.concat([
    Buffer.from("\x0a\x08identity\x2a"),
    varint(input.length),
    input,
    Buffer.of(0x3a),
    varint(data.length),
    data,
  ]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return Buffer.from([...bytes, rest]);
    bytes.push((rest & 0x7f) | 0x80);
  }
}

test("a call that the server does not have is UNIMPLEMENTED", async () => {
  for (const path of ["/inference.GRPCInferenceService/Nonsense", "/signet.Nobody/Call"]) {
    expect(await failureOf(client.send(path, Buffer.alloc(0)))).toEqual({ status: "UNIMPLEMENTED" });
  }
});

describe("a message", () => {
  test(
    "larger than the server takes is RESOURCE_EXHAUSTED, whole or announced",
    attack("sends more than is taken", "a message of 2 MiB, one of 4 GiB announced"),
    async () => {
      const tooLarge = client.infer(request(Buffer.alloc(2 * MIB)));
      expect(await failureOf(tooLarge)).toEqual({ status: "RESOURCE_EXHAUSTED" });
      const announced = frame(Buffer.alloc(10), { length: 2 ** 32 - 1 });
      expect(await callByHand(host.server.address, INFER, announced, authorization())).toEqual({
        status: "RESOURCE_EXHAUSTED",
      });
    },
  );

  test(
    "larger than the service's shared memory is RESOURCE_EXHAUSTED, on its way in or out",
    attack("sends more than a service has room for", "1.5 MiB in, 0.75 MiB twice out, 1 MiB of room"),
    async () => {
      const input = client.infer(request(Buffer.alloc(1.5 * MIB)));
      expect(await failureOf(input)).toEqual({ status: "RESOURCE_EXHAUSTED", code: "REQUEST_TOO_LARGE" });
      const output = client.infer(request(Buffer.alloc(0.75 * MIB)));
      expect(await failureOf(output)).toEqual({ status: "RESOURCE_EXHAUSTED", code: "OUTPUT_TOO_LARGE" });
    },
  );

  test.each([
    ["deflate", 1],
    ["gzip", 2],
  ])("may be compressed with %s", async (_, algorithm) => {
    const compressing = useBareClient(host.server.address, host.token, {
      "grpc.default_compression_algorithm": algorithm,
    });
    const data = Buffer.alloc(100_000, "abc");
    expect((await compressing.infer(request(data))).raw_output_contents).toEqual([data]);
  });

  test.each([
    ["gzip", gzipSync],
    ["deflate", deflateSync],
  ])(
    "that %s makes small is measured by what comes out of it",
    attack.each("sends a compressed bomb"),
    async (encoding, compress) => {
      const bomb = frame(compress(requestBytes(Buffer.alloc(256 * MIB))), { compressed: true });
      expect(bomb.length).toBeLessThan(MIB);
      const before = process.memoryUsage().rss;
      const call = callByHand(host.server.address, INFER, bomb, { ...authorization(), "grpc-encoding": encoding });
      expect(await call).toEqual({ status: "RESOURCE_EXHAUSTED" });
      const grown = Math.round((process.memoryUsage().rss - before) / MIB);
      expect(grown).toBeLessThan(128);
      observed(`${bomb.length} bytes for 256 MiB: refused, memory grew by ${Math.max(0, grown)} MiB`);
    },
  );

  test(
    "that says it is compressed and is not, or by a method nobody knows, fails alone",
    attack("lies about compression", "no gzip, gzip cut short, brotli"),
    async () => {
      const bytes = frame(Buffer.from("this is not gzip"), { compressed: true });
      const gzip = callByHand(host.server.address, INFER, bytes, { ...authorization(), "grpc-encoding": "gzip" });
      expect(await gzip).toEqual({ status: "INTERNAL" });
      const brotli = callByHand(host.server.address, INFER, bytes, { ...authorization(), "grpc-encoding": "br" });
      expect(await brotli).toEqual({ status: "UNIMPLEMENTED" });
      const cut = frame(gzipSync(requestBytes(Buffer.alloc(1000))).subarray(0, 20), { compressed: true });
      expect(
        await callByHand(host.server.address, INFER, cut, { ...authorization(), "grpc-encoding": "gzip" }),
      ).toEqual({
        status: "INTERNAL",
      });
    },
  );

  test.each([
    ["nothing", Buffer.alloc(0), "SERVICE_NOT_FOUND"],
    ["a tag alone", Buffer.of(0x0a), "REQUEST_MALFORMED"],
    ["a length that overruns", Buffer.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f), "REQUEST_MALFORMED"],
    ["a varint without an end", Buffer.alloc(20, 0xff), "REQUEST_MALFORMED"],
    ["a group, which proto3 does not have", Buffer.of(0x0b, 0x0c), "REQUEST_MALFORMED"],
    ["a field of another wire type", Buffer.of(0x3d, 1, 2, 3, 4), "REQUEST_MALFORMED"],
    ["another program's words", Buffer.from("GET / HTTP/1.1\r\n\r\n"), "REQUEST_MALFORMED"],
    ["a million empty inputs", Buffer.alloc(2 * 10 ** 6, Buffer.of(0x2a, 0)), "REQUEST_MALFORMED"],
  ])("of %s is refused with a code of ours", attack.each("sends malformed protobuf"), async (_, bytes, code) => {
    expect(await failureOf(client.send(INFER, bytes))).toMatchObject({ code });
  });

  test(
    "that is malformed tells a caller without a token only that",
    attack("probes the decoder without a token", "malformed protobuf"),
    async () => {
      const call = client.send(INFER, Buffer.of(0x0a), { token: null });
      expect(await failureOf(call)).toEqual({ status: "UNAUTHENTICATED", code: "UNAUTHENTICATED" });
    },
  );

  test(
    "is not read before the caller's token was seen",
    attack("has 4 GiB awaited without a token", "announced in the frame"),
    async () => {
      const announced = frame(Buffer.alloc(10), { length: 2 ** 32 - 1 });
      for (const headers of [{}, { authorization: `Bearer ${host.token}x` }] as Record<string, string>[]) {
        for (const method of [INFER, METADATA]) {
          expect(await callByHand(host.server.address, method, announced, headers)).toEqual({
            status: "UNAUTHENTICATED",
            code: "UNAUTHENTICATED",
          });
        }
      }
    },
  );

  test.each([LIVE, "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"])(
    "to %s, which needs no token, may not be large, compressed or not",
    attack.each("sends much where no token is needed"),
    async (method) => {
      const large = frame(Buffer.alloc(129 * 1024));
      expect(await callByHand(host.server.address, method, large)).toMatchObject({ status: "RESOURCE_EXHAUSTED" });
      const bomb = frame(gzipSync(Buffer.alloc(MIB)), { compressed: true });
      expect(await callByHand(host.server.address, method, bomb, { "grpc-encoding": "gzip" })).toMatchObject({
        status: "RESOURCE_EXHAUSTED",
      });
    },
  );

  test(
    "with bytes flipped at random is answered or refused, never INTERNAL",
    attack("sends random bytes", "a request with bytes flipped, by a seed"),
    async () => {
      const good = requestBytes(Buffer.from("some bytes that matter to nobody"));
      let seed = 20_260_101;
      const random = (below: number) => {
        seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
        return Math.floor((seed / 2 ** 32) * below);
      };
      const outcomes = await Promise.all(
        Array.from({ length: 300 }, () => {
          const bytes = Buffer.from(good);
          for (let flips = 0; flips <= random(3); flips++) bytes[random(bytes.length)] = random(256);
          return client.send(INFER, bytes).then(
            () => "OK",
            (error) => String(error.metadata.get("signet-code")[0]),
          );
        }),
      );
      const known = ["OK", "REQUEST_MALFORMED", "SERVICE_NOT_FOUND", "NOT_IMPLEMENTED", "REQUEST_TOO_LARGE"];
      expect([...new Set(outcomes)].filter((outcome) => !known.includes(outcome))).toEqual([]);
      expect(outcomes).toContain("OK");
      expect(outcomes).toContain("REQUEST_MALFORMED");
      const answered = outcomes.filter((outcome) => outcome === "OK").length;
      observed(`${answered} of 300 answered, ${300 - answered} refused, none INTERNAL`);
    },
  );
});

describe("a call", () => {
  test(
    "for a list of what the server offers is not answered, with a token or without",
    attack("asks the server to describe itself", "grpc.reflection"),
    async () => {
      for (const version of ["v1", "v1alpha"]) {
        const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
        for (const headers of [{}, authorization()] as Record<string, string>[]) {
          const answer = await callByHand(host.server.address, path, frame(Buffer.alloc(0)), headers);
          expect(answer).toEqual({ status: "UNIMPLEMENTED" });
        }
      }
      observed("there is no such service");
    },
  );

  test(
    "without a message, with half of one or with two is refused",
    attack("sends malformed frames", "none, half a message, two"),
    async () => {
      const good = frame(requestBytes(Buffer.of(1)));
      const statuses = new Set<string>();
      for (const body of [Buffer.alloc(0), good.subarray(0, 10), Buffer.concat([good, good])]) {
        const { status } = await callByHand(host.server.address, INFER, body, authorization());
        expect(status).not.toBe("OK");
        statuses.add(status);
      }
      observed(`refused as ${[...statuses].join(", ")}`);
    },
  );

  test(
    "with a deadline that is none is refused",
    attack("sends a deadline that is none", "grpc-timeout: soon"),
    async () => {
      const good = frame(requestBytes(Buffer.of(1)));
      const headers = { ...authorization(), "grpc-timeout": "soon" };
      expect(await callByHand(host.server.address, INFER, good, headers)).toEqual({ status: "INTERNAL" });
    },
  );

  test(
    "of a program that does not speak HTTP/2 ends its connection",
    attack("does not speak HTTP/2", "HTTP/1.1"),
    async () => {
      const [address, port] = host.server.address.split(":");
      const socket: Socket = connect(Number(port), address);
      const ended = new Promise((resolve) => socket.on("close", resolve));
      socket.on("error", () => {});
      socket.resume().write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      await ended;
      observed("its connection is closed");
    },
  );
});
