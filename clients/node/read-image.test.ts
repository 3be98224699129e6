import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseImage, readImage } from "./index.ts";

const refusedAs = (code: string) => expect.objectContaining({ name: "ProcessingError", code });
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "signet-images-"));
});
afterAll(() => rm(folder, { recursive: true }));

function picture(background: string) {
  return sharp({ create: { width: 3, height: 2, channels: 4, background } });
}

function noise() {
  const gaussian = { type: "gaussian", mean: 128, sigma: 60 } as const;
  return sharp({ create: { width: 40, height: 12, channels: 3, background: "#444", noise: gaussian } });
}

function firstHalf(bytes: Buffer): Buffer {
  return bytes.subarray(0, bytes.length / 2);
}

test.each(["png", "jpeg", "webp", "gif", "tiff"] as const)(
  "a %s image is decoded to 3 bytes a pixel",
  async (format) => {
    const path = join(folder, `picture.${format}`);
    await writeFile(path, await picture("#fff").toFormat(format).toBuffer());
    const image = await readImage(path);
    expect(image).toMatchObject({ width: 3, height: 2 });
    expect([...image.data]).toEqual(Array(18).fill(255));
  },
);

test("gray, 16-bit and transparent images are decoded to 3 bytes a pixel as well", async () => {
  const gray = await parseImage(await picture("#808080").flatten().toColourspace("b-w").png().toBuffer());
  expect([...gray.data]).toEqual(Array(18).fill(128));
  const deep = await parseImage(await picture("#ff0000").flatten().toColourspace("rgb16").png().toBuffer());
  expect([...deep.data.subarray(0, 3)]).toEqual([255, 0, 0]);
  const clear = await parseImage(await picture("#00000000").png().toBuffer());
  expect([...clear.data]).toEqual(Array(18).fill(255));
});

test("a photo lying on its side by its EXIF note is stood up", async () => {
  const image = await parseImage(await picture("#fff").jpeg().withMetadata({ orientation: 6 }).toBuffer());
  expect(image).toMatchObject({ width: 2, height: 3 });
});

test.each<[string, () => Promise<Uint8Array>]>([
  ["no bytes", async () => new Uint8Array(0)],
  ["text", async () => Buffer.from("not an image")],
  ["half a PNG", async () => firstHalf(await noise().png().toBuffer())],
  ["half a JPEG", async () => firstHalf(await noise().jpeg().toBuffer())],
  [
    "an SVG, which may name other files",
    async () => Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
  ],
  [
    "more than 64 megapixels",
    () =>
      sharp({ create: { width: 9000, height: 9000, channels: 3, background: "#fff" } })
        .png()
        .toBuffer(),
  ],
])("%s is refused", async (_, bytes) => {
  await expect(parseImage(await bytes())).rejects.toThrow(refusedAs("IMAGE_INVALID"));
});

test("what is missing, a folder, a device or a pipe is refused without waiting on it", async () => {
  const pipe = join(folder, "pipe");
  execFileSync("mkfifo", [pipe]);
  for (const path of [join(folder, "missing.png"), folder, "/dev/zero", pipe]) {
    await expect(readImage(path)).rejects.toThrow(refusedAs("IMAGE_UNREADABLE"));
  }
});

test("no cut or changed byte of an image does worse than be refused", async () => {
  for (const bytes of [await noise().png().toBuffer(), await noise().jpeg().toBuffer()]) {
    for (let at = 0; at < bytes.length; at += 7) {
      const changed = Buffer.from(bytes);
      changed[at] = changed[at]! ^ 0x55;
      for (const hostile of [changed, bytes.subarray(0, at)]) {
        const image = await parseImage(hostile).catch((error) => error);
        if (image instanceof Error) expect(image).toMatchObject({ code: "IMAGE_INVALID" });
        else expect(image.data.byteLength).toBe(image.width * image.height * 3);
      }
    }
  }
});
