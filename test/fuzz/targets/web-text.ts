import { Base64Reader } from "../../../src/grpc/base64-reader.ts";
import { mutateBytes } from "../mutate.ts";
import { hold, type Target } from "../target.ts";

/** The base64 of gRPC-Web bodies: it means the same in one piece and in many, and no more than its length allows. */
export function webText(): Target {
  const texts = [Buffer.alloc(20, 7), Buffer.alloc(7, 255), Buffer.of(1)].map((bytes) => bytes.toString("base64"));
  return {
    codes: ["REQUEST_MALFORMED"],
    starts: [...texts, texts.join("")].map((text) => Buffer.from(text)),
    mutate: mutateBytes,
    maxBytes: 512,
    run(input) {
      const whole = readIn(input, input.length || 1);
      for (const size of [1, 3, 5]) hold(readIn(input, size).equals(whole), "pieces mean what the whole means");
      hold(whole.length <= (input.length / 4) * 3, "base64 is no shorter than what it means");
      return "accepted";
    },
  };
}

function readIn(input: Buffer, size: number): Buffer {
  const reader = new Base64Reader();
  const read: Buffer[] = [];
  for (let at = 0; at < input.length; at += size) read.push(reader.read(input.subarray(at, at + size)));
  reader.end();
  return Buffer.concat(read);
}
