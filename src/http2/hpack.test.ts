import { describe, expect, test } from "vitest";
import { HpackDecoder } from "./hpack-decoder.ts";
import { encodedBytesMax, HpackEncoder } from "./hpack-encoder.ts";
import { block, integer, string } from "./raw-client.fixture.ts";

function decode(decoder: HpackDecoder, bytes: Uint8Array): readonly string[] {
  const buffer = Buffer.from(bytes);
  return decoder.decode(buffer, 0, buffer.length).fields;
}

function encode(encoder: HpackEncoder, fields: readonly string[]): Buffer {
  const target = Buffer.alloc(encodedBytesMax(fields));
  return target.subarray(0, encoder.encode(fields, target, 0));
}

describe("the decoder", () => {
  // RFC 7541 Appendix C.4: three requests of one connection, Huffman-coded, whose table grows.
  test("reads the requests of RFC 7541 Appendix C.4", () => {
    const decoder = new HpackDecoder(10_000);
    const first = [":method", "GET", ":scheme", "http", ":path", "/", ":authority", "www.example.com"];
    expect(decode(decoder, Buffer.from("828684418cf1e3c2e5f23a6ba0ab90f4ff", "hex"))).toEqual(first);
    expect(decode(decoder, Buffer.from("828684be5886a8eb10649cbf", "hex"))).toEqual([
      ...first,
      "cache-control",
      "no-cache",
    ]);
    expect(decode(decoder, Buffer.from("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", "hex"))).toEqual([
      ...[":method", "GET", ":scheme", "https", ":path", "/index.html", ":authority", "www.example.com"],
      ...["custom-key", "custom-value"],
    ]);
  });

  test("throws the oldest out where the table is full, and everything for an entry larger than the table", () => {
    const decoder = new HpackDecoder(100_000);
    const insert = (name: string, value: string) => Buffer.concat([Buffer.of(0x40), string(name), string(value)]);
    decode(decoder, insert("a", "1"));
    decode(decoder, insert("b", "x".repeat(4096 - 33 - 34)));
    expect(decode(decoder, integer(63, 7, 0x80))).toEqual(["a", "1"]);
    decode(decoder, insert("c", "2"));
    expect(() => decode(decoder, integer(64, 7, 0x80))).toThrow("an index that is in no table");
    decode(decoder, insert("d", "x".repeat(5000)));
    expect(() => decode(decoder, integer(62, 7, 0x80))).toThrow("an index that is in no table");
  });

  test("keeps 128 entries of the least size apart", () => {
    const decoder = new HpackDecoder(100_000);
    for (let count = 0; count < 300; count++)
      decode(decoder, Buffer.concat([Buffer.of(0x40), string("n"), string(`${count}`)]));
    // 32 and two to four bytes each: 4096 / 36 = 113 entries.
    const values = Array.from({ length: 113 }, (_, age) => decode(decoder, integer(62 + age, 7, 0x80))[1]);
    expect(values).toEqual(Array.from({ length: 113 }, (_, age) => `${299 - age}`));
  });

  test("takes white space off values, and counts it in the table as the client does", () => {
    const decoder = new HpackDecoder(10_000);
    const spaces = " ".repeat(4096 - 33 - 34);
    decode(decoder, Buffer.concat([Buffer.of(0x40), string("a"), string("1")]));
    decode(decoder, Buffer.concat([Buffer.of(0x40), string("b"), string(`\t${spaces.slice(1)}`)]));
    expect(decode(decoder, Buffer.of(0x80 | 62, 0x80 | 63))).toEqual(["b", "", "a", "1"]);
    decode(decoder, Buffer.concat([Buffer.of(0x40), string("c"), string(" 2 ")]));
    expect(decode(decoder, Buffer.of(0x80 | 62))).toEqual(["c", "2"]);
    expect(() => decode(decoder, Buffer.of(0x80 | 63))).toThrow("an index that is in no table");
  });

  test("follows a table that the client shrinks and widens", () => {
    const decoder = new HpackDecoder(10_000);
    decode(decoder, Buffer.concat([Buffer.of(0x40), string("a"), string("1")]));
    decode(decoder, Buffer.concat([integer(0, 5, 0x20), integer(4096, 5, 0x20)]));
    expect(() => decode(decoder, integer(62, 7, 0x80))).toThrow("an index that is in no table");
  });
});

describe("the encoder", () => {
  const head = [":status", "200", "content-type", "application/grpc+proto", "grpc-encoding", "identity"];

  test("writes what a decoder reads, shorter the second time", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(100_000);
    const lists = [head, ["grpc-status", "0"], head, ["grpc-status", "0", "grpc-message", "x".repeat(300)], head];
    const sizes = lists.map((fields) => {
      const bytes = encode(encoder, fields);
      expect(decode(decoder, bytes)).toEqual(fields);
      return bytes.length;
    });
    expect(sizes[2]).toBe(3);
    expect(sizes[4]).toBe(3);
  });

  test("never leaves the client's table, however many values there are", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(100_000);
    for (let count = 0; count < 500; count++) {
      const fields = ["content-type", `application/grpc+${count}`, "grpc-status", `${count % 17}`];
      expect(decode(decoder, encode(encoder, fields))).toEqual(fields);
    }
  });

  test("begins anew with the table that the client's settings allow", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(100_000);
    decode(decoder, encode(encoder, head));
    for (const bytes of [0, 100, 4096, 65_536]) {
      encoder.limitTable(bytes);
      for (let round = 0; round < 3; round++) expect(decode(decoder, encode(encoder, head))).toEqual(head);
    }
  });

  test("round-trips through the literals of the test client", () => {
    expect(decode(new HpackDecoder(1000), block(["a", "b", "c", ""]))).toEqual(["a", "b", "c", ""]);
  });
});
