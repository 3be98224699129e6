import { FRAME_HEAD_BYTES } from "../../../src/http2/frames.ts";
import type { Field, FieldFormat } from "../mutate-tree.ts";

/** Type, flags and stream of a frame are its head here. */
export const frames: FieldFormat = {
  parse(bytes) {
    const fields: Field[] = [];
    for (let at = 0; at < bytes.length; ) {
      if (at + FRAME_HEAD_BYTES > bytes.length) return undefined;
      const end = at + FRAME_HEAD_BYTES + bytes.readUIntBE(at, 3);
      if (end > bytes.length) return undefined;
      const head = bytes[at + 3]! | (bytes[at + 4]! << 8) | (bytes.readUInt16BE(at + 7) << 16);
      fields.push({ head, value: bytes.subarray(at + FRAME_HEAD_BYTES, end) });
      at = end;
    }
    return fields;
  },
  format(fields, lie) {
    const parts = fields.flatMap(({ head, value }) => {
      const payload = value as Buffer;
      const start = Buffer.alloc(FRAME_HEAD_BYTES);
      start.writeUIntBE(lie(payload.length) & 0xffffff, 0, 3);
      start.writeUInt16LE(head & 0xffff, 3);
      start.writeUInt16BE(head >>> 16, 7);
      return [start, payload];
    });
    return Buffer.concat(parts);
  },
};

export function frame(type: number, flags: number, stream: number, payload: string | Buffer): Field {
  return { head: type | (flags << 8) | (stream << 16), value: Buffer.from(payload) };
}
