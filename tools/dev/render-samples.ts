import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";

/**
 * Renders examples/text-lines: pictures of text lines of the project's own, and expected.json. The PNG files are
 * committed, so nobody needs the fonts named here; run this only to add a sample, and look at what it made.
 */

const FOLDER = join(import.meta.dirname, "../../examples/text-lines");

interface Sample {
  readonly file: string;
  readonly kind: string;
  /** The words in the picture; empty for a picture without any. */
  readonly written: string;
  /** What the example's model answers where that is not what is written; null for "cannot be read". */
  readonly answered?: string | null;
  readonly font?: string;
  /** Font size in pixels. Default 40. */
  readonly size?: number;
  readonly weight?: "normal" | "bold";
  readonly style?: "normal" | "italic";
  readonly ink?: string;
  readonly paper?: string;
  /** Clockwise degrees. */
  readonly rotateDegrees?: number;
  /** Standard deviation of the blur, pixels. */
  readonly blur?: number;
  /** Standard deviation of the noise, of 255. */
  readonly noise?: number;
}

const samples: readonly Sample[] = [
  { file: "plain-sans.png", kind: "plain", written: "Hello, World!" },
  { file: "plain-serif.png", kind: "plain", written: "The quick brown fox", font: "DejaVu Serif" },
  { file: "plain-mono.png", kind: "plain", written: "const answer = 42;", font: "DejaVu Sans Mono" },
  { file: "plain-arial-like.png", kind: "plain", written: "jumps over the lazy dog", font: "Liberation Sans" },
  { file: "plain-times-like.png", kind: "plain", written: "A licensed inference", font: "Liberation Serif" },
  { file: "bold.png", kind: "plain", written: "KEEP DRY", weight: "bold" },
  { file: "italic.png", kind: "plain", written: "Handle with care", font: "Liberation Serif", style: "italic" },
  { file: "digits.png", kind: "digits", written: "0123456789", font: "Liberation Sans" },
  { file: "date.png", kind: "digits", written: "2026-11-21 14:05" },
  { file: "amount.png", kind: "digits", written: "Total: 1,284.50 EUR", font: "DejaVu Serif" },
  { file: "serial-number.png", kind: "mixed", written: "SN 4K7-2210-98", font: "Liberation Mono" },
  { file: "email.png", kind: "mixed", written: "order@example.com" },
  { file: "address.png", kind: "punctuation", written: "https://example.com/a?b=1" },
  { file: "punctuation.png", kind: "punctuation", written: "Ready? (yes/no) #42 & 100%", font: "FreeSans" },
  { file: "long.png", kind: "long", written: "Signet runs only what its vendor signed, only on the licensed host." },
  { file: "single-digit.png", kind: "short", written: "7" },
  { file: "small.png", kind: "small", written: "Temperature 36.6 C", size: 12 },
  { file: "tiny.png", kind: "small", written: "fine print", size: 9 },
  { file: "large.png", kind: "large", written: "EXIT", size: 220, weight: "bold" },
  { file: "white-on-black.png", kind: "inverted", written: "LOT A113 EXP 05/28", ink: "#fff", paper: "#000" },
  { file: "color.png", kind: "color", written: "Mind the gap", ink: "#ffd900", paper: "#0a3d91" },
  { file: "low-contrast.png", kind: "low contrast", written: "Watermark 2026", ink: "#c4c4c4", paper: "#d8d8d8" },
  { file: "noisy.png", kind: "noisy", written: "Signal and noise", noise: 45 },
  { file: "very-noisy.png", kind: "noisy", written: "Can you read me", noise: 200 },
  {
    file: "noisy-low-contrast.png",
    kind: "noisy",
    written: "Received by fax",
    ink: "#666",
    paper: "#bbb",
    noise: 18,
  },
  { file: "blurred.png", kind: "blurred", written: "Unfocused", blur: 3 },
  { file: "tilted.png", kind: "tilted", written: "Slightly tilted", rotateDegrees: 3 },
  { file: "tilted-back.png", kind: "tilted", written: "Room B-204", rotateDegrees: -2.5 },
  { file: "upside-down.png", kind: "upside down", written: "This side up", rotateDegrees: 180 },
  {
    file: "upside-down-serial.png",
    kind: "upside down",
    written: "MODEL X-500",
    font: "Liberation Sans",
    rotateDegrees: 180,
  },
  { file: "blurred-spaces.png", kind: "hard", written: "Out of focus", blur: 3, answered: "Outoffocus" },
  { file: "buried-in-noise.png", kind: "hard", written: "Nobody can read this", noise: 450, answered: null },
  { file: "far-out-of-focus.png", kind: "hard", written: "Nobody can read this", blur: 10, answered: null },
  { file: "lost-serial.png", kind: "hard", written: "SN 8B0-O1I", blur: 6, answered: null },
  { file: "pure-noise.png", kind: "unreadable", written: "", noise: 90, paper: "#808080", answered: null },
  { file: "empty.png", kind: "unreadable", written: "", answered: null },
];

async function renderSample(sample: Sample): Promise<Buffer> {
  const background = sample.paper ?? "#fff";
  const { data, info } = await sharp(await renderText(sample, background))
    .rotate(sample.rotateDegrees ?? 0, { background })
    .blur(sample.blur ?? false)
    .toColourspace("srgb")
    .raw()
    .toBuffer({ resolveWithObject: true });
  if (sample.noise !== undefined) addNoise(data, info.channels, sample.noise);
  // Noise is gray like the rest, so one channel and few levels are enough for all but the colored sample.
  return sharp(data, { raw: { width: info.width, height: info.height, channels: info.channels } })
    .png({ compressionLevel: 9, palette: true, colors: 32, dither: 0 })
    .toBuffer();
}

async function renderText(sample: Sample, background: string): Promise<Buffer> {
  if (sample.written === "") {
    return sharp({ create: { width: 320, height: 48, channels: 3, background } })
      .png()
      .toBuffer();
  }
  const size = sample.size ?? 40;
  const width = Math.ceil(sample.written.length * size * 0.9) + 2 * size;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${size * 2}">
    <rect width="100%" height="100%" fill="${background}"/>
    <text x="${size}" y="${size * 1.3}" font-family="${sample.font ?? "DejaVu Sans"}" font-size="${size}"
      font-weight="${sample.weight ?? "normal"}" font-style="${sample.style ?? "normal"}"
      fill="${sample.ink ?? "#000"}">${escapeXml(sample.written)}</text></svg>`;
  const margin = Math.max(2, Math.round(size / 5));
  const border = { top: margin, bottom: margin, left: margin, right: margin, background };
  const trimmed = await sharp(Buffer.from(svg)).removeAlpha().trim({ background, threshold: 5 }).toBuffer();
  return sharp(trimmed).extend(border).png().toBuffer();
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

/** Gray noise, nearly normal, from a fixed seed: the same picture at every run. */
function addNoise(pixels: Buffer, channels: number, deviation: number): void {
  const random = createRandom(20261121);
  for (let offset = 0; offset < pixels.length; offset += channels) {
    // The sum of 12 uniform numbers less 6 has mean 0 and deviation 1.
    let normal = -6;
    for (let i = 0; i < 12; i++) normal += random();
    for (let channel = 0; channel < channels; channel++) {
      const value = pixels[offset + channel]! + normal * deviation;
      pixels[offset + channel] = Math.min(255, Math.max(0, Math.round(value)));
    }
  }
}

/** A xorshift generator: 0 to below 1. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}

await mkdir(FOLDER, { recursive: true });
const expected: Record<string, { kind: string; text: string | null; written?: string }> = {};
for (const sample of samples) {
  await writeFile(join(FOLDER, sample.file), await renderSample(sample));
  const { file, kind, written, answered = written } = sample;
  expected[file] = { kind, text: answered, ...(answered !== written && { written }) };
}
await writeFile(join(FOLDER, "expected.json"), `${JSON.stringify(expected, null, 2)}\n`);
process.stderr.write(`${samples.length} samples in ${FOLDER}\n`);
