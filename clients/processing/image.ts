import { ProcessingError } from "./errors.ts";

/** A picture in memory: rows from the top, pixels from the left, 3 bytes (red, green, blue) a pixel. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** Throws IMAGE_INVALID unless the picture has at least one pixel and exactly the bytes its size asks for. */
export function verifyImage(image: RgbImage): void {
  const { width, height, data } = image;
  if (!Number.isSafeInteger(width) || !Number.isSafeInteger(height) || width < 1 || height < 1) {
    throw new ProcessingError("IMAGE_INVALID", `expected an image of at least 1x1 pixels, got ${width}x${height}`);
  }
  if (data.byteLength !== width * height * 3) {
    throw new ProcessingError(
      "IMAGE_INVALID",
      `expected ${width * height * 3} bytes for ${width}x${height} RGB pixels, got ${data.byteLength}`,
    );
  }
}

export function rotate180(image: RgbImage): RgbImage {
  verifyImage(image);
  const { width, height, data } = image;
  const rotated = new Uint8Array(data.byteLength);
  for (let from = 0, to = data.byteLength - 3; to >= 0; from += 3, to -= 3) {
    rotated[to] = data[from]!;
    rotated[to + 1] = data[from + 1]!;
    rotated[to + 2] = data[from + 2]!;
  }
  return { width, height, data: rotated };
}

/**
 * Bilinear when enlarging. When reducing, the triangle filter is as wide as the reduction: plain bilinear would
 * look at 4 source pixels however many there are, and thin strokes of large text would vanish.
 */
export function resizeBilinear(image: RgbImage, width: number, height: number): RgbImage {
  verifyImage(image);
  if (!Number.isSafeInteger(width) || !Number.isSafeInteger(height) || width < 1 || height < 1) {
    throw new ProcessingError("OPTIONS_INVALID", `expected a size of at least 1x1 pixels, got ${width}x${height}`);
  }
  if (width === image.width && height === image.height) return image;

  const columns = sampleWeights(image.width, width);
  const rows = sampleWeights(image.height, height);

  // One destination row needs few source rows, so each is narrowed once and forgotten when it is behind:
  // memory stays at a few rows whatever the size of the picture.
  const narrowed = new Map<number, Float32Array>();
  const resized = new Uint8Array(width * height * 3);
  const sum = new Float32Array(width * 3);
  for (let y = 0; y < height; y++) {
    const { start, weights } = rows[y]!;
    for (const row of narrowed.keys()) if (row < start) narrowed.delete(row);
    sum.fill(0);
    weights.forEach((weight, index) => {
      const source = start + index;
      const row = narrowed.get(source) ?? narrowRow(image, source, columns);
      narrowed.set(source, row);
      for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + weight * row[i]!;
    });
    const offset = y * width * 3;
    for (let i = 0; i < sum.length; i++) resized[offset + i] = Math.min(255, Math.max(0, Math.round(sum[i]!)));
  }
  return { width, height, data: resized };
}

/** The source samples that make one destination sample; the weights sum to 1. */
interface Sample {
  readonly start: number;
  readonly weights: Float32Array;
}

function sampleWeights(sourceSize: number, size: number): Sample[] {
  const scale = sourceSize / size;
  const radius = Math.max(1, scale);
  return Array.from({ length: size }, (_, index) => {
    const center = (index + 0.5) * scale - 0.5;
    const start = Math.max(0, Math.ceil(center - radius));
    const end = Math.min(sourceSize - 1, Math.floor(center + radius));
    const weights = new Float32Array(end - start + 1);
    let total = 0;
    for (let i = 0; i < weights.length; i++) {
      weights[i] = Math.max(0, 1 - Math.abs(start + i - center) / radius);
      total += weights[i]!;
    }
    return { start, weights: weights.map((weight) => weight / total) };
  });
}

function narrowRow(image: RgbImage, y: number, columns: readonly Sample[]): Float32Array {
  const row = new Float32Array(columns.length * 3);
  const base = y * image.width * 3;
  columns.forEach(({ start, weights }, x) => {
    let red = 0;
    let green = 0;
    let blue = 0;
    for (let i = 0, at = base + start * 3; i < weights.length; i++, at += 3) {
      red += weights[i]! * image.data[at]!;
      green += weights[i]! * image.data[at + 1]!;
      blue += weights[i]! * image.data[at + 2]!;
    }
    row[x * 3] = red;
    row[x * 3 + 1] = green;
    row[x * 3 + 2] = blue;
  });
  return row;
}
