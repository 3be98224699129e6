import { readFile, stat } from "node:fs/promises";
import sharp from "sharp";
import { ProcessingError, type RgbImage } from "../processing/index.ts";

const MAX_FILE_BYTES = 64 * 1024 * 1024;
// 3 bytes a pixel: 192 MB decoded. A small file can unpack to far more (a decompression bomb).
const MAX_PIXELS = 64 * 1024 * 1024;

/**
 * Only formats whose decoders take pixels and nothing else. libvips also reads SVG, PDF and whatever an installed
 * ImageMagick reads: those can name other files and are no pictures of text.
 */
const formats = ["png", "jpeg", "webp", "gif", "tiff"];

/** Reads an image file. Throws IMAGE_UNREADABLE, or IMAGE_INVALID for what is no image or over 64 megapixels. */
export async function readImage(path: string): Promise<RgbImage> {
  return parseImage(await readRegularFile(path), path);
}

async function readRegularFile(path: string): Promise<Uint8Array> {
  let reason: string;
  let cause: unknown;
  try {
    // Asked before opening: a pipe would wait for ever and a device never end.
    const { size, isFile } = await stat(path).then((stats) => ({ size: stats.size, isFile: stats.isFile() }));
    if (isFile && size <= MAX_FILE_BYTES) return await readFile(path);
    reason = isFile ? `expected at most ${MAX_FILE_BYTES} bytes, got ${size}` : "expected a regular file";
  } catch (error) {
    reason = error instanceof Error ? error.message : "unknown";
    cause = error;
  }
  throw new ProcessingError("IMAGE_UNREADABLE", `${path}: ${reason}`, { cause });
}

/** Decodes PNG, JPEG, WebP, GIF (first frame) and TIFF; transparent pixels are seen on white. */
export async function parseImage(bytes: Uint8Array, name = "image"): Promise<RgbImage> {
  try {
    const options = { limitInputPixels: MAX_PIXELS, failOn: "error" } as const;
    const { format } = await sharp(bytes, options).metadata();
    if (!formats.includes(format)) throw new Error(`the format ${format} is not among ${formats.join(", ")}`);
    const { data, info } = await sharp(bytes, options)
      .autoOrient()
      .toColourspace("srgb")
      .flatten({ background: "#fff" })
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 3) throw new Error(`expected 3 channels after decoding, got ${info.channels}`);
    return { width: info.width, height: info.height, data };
  } catch (error) {
    const reason = error instanceof Error ? error.message.split("\n")[0] : "unknown";
    throw new ProcessingError("IMAGE_INVALID", `${name}: expected a PNG, JPEG, WebP, GIF or TIFF image: ${reason}`);
  }
}
