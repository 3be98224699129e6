import { tmpdir } from "node:os";
import { describe, expect, test } from "vitest";
import { JobRoom } from "./job-room.ts";

const MIB = 2 ** 20;

async function* piecesOf(count: number): AsyncGenerator<Uint8Array> {
  for (let piece = 0; piece < count; piece++) yield new Uint8Array(MIB);
}

async function take(pieces: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const { byteLength } of pieces) bytes += byteLength;
  return bytes;
}

describe("the room of jobs", () => {
  const full = () => new JobRoom(tmpdir(), Number.MAX_SAFE_INTEGER);

  test("is looked at again while an upload goes on", async () => {
    await expect(take(full().watch(piecesOf(20)))).rejects.toMatchObject({ code: "STORE_FULL" });
    expect(await take(new JobRoom(tmpdir(), 0).watch(piecesOf(20)))).toBe(20 * MIB);
  });

  test("is looked at for many small uploads as for a large one", async () => {
    const room = full();
    const uploads = await Promise.allSettled(Array.from({ length: 20 }, () => take(room.watch(piecesOf(2)))));
    const refused = uploads.flatMap((upload) => (upload.status === "rejected" ? [upload.reason.code] : []));
    expect(refused).toEqual(["STORE_FULL", "STORE_FULL"]);
  });
});
