import { decodeGreedyCtc } from "./ctc.ts";
import { ProcessingError } from "./errors.ts";
import { type RgbImage, resizeBilinear, rotate180, verifyImage } from "./image.ts";
import { fp32Elements, type Tensor } from "./tensor.ts";

/**
 * One line of text in, its characters out: PaddleOCR's recognition models (PP-OCR v3 and v4), which take a strip
 * of fixed height and answer with a probability for each character at each step along it.
 */

export interface TextLineOptions {
  /** The strip's height in pixels; PP-OCR v3 and v4 were trained on 48. */
  readonly height?: number;
  /** Shorter strips are padded to this width in pixels, as in training. Default 320. */
  readonly minWidth?: number;
  /** Wider strips are refused: squeezed, their text could not be read. Pixels, default 3200. */
  readonly maxWidth?: number;
  /** Turns the picture before it is prepared: the second try with one that may be upside down. Default 0. */
  readonly rotateDegrees?: 0 | 180;
}

export interface TextLineReading {
  /** Empty unless readable. */
  readonly text: string;
  /** False where the model is not sure enough for its answer to be worth showing. */
  readonly readable: boolean;
  /** Mean probability of the characters, 0 to 1. */
  readonly confidence: number;
}

/**
 * Measured with PP-OCR v4 on rendered lines in five faces, clean to hopelessly blurred and noisy: 95 % of the right
 * answers are surer than this, 98 % of the wrong ones are not.
 */
export const DEFAULT_MIN_CONFIDENCE = 0.85;

// The answer to 3200 pixels is 10.6 MB: 6625 probabilities for every 8 of them.
const DEFAULT_MAX_WIDTH = 3200;

// Blue first, as in training. Rendered text does not tell: in 2700 colored and noisy lines the model read as many
// right with red first.
const channelOrder = [2, 1, 0];

/** The input tensor of a text line. Throws IMAGE_INVALID, IMAGE_UNSUITABLE and OPTIONS_INVALID. */
export function prepareTextLine(image: RgbImage, options: TextLineOptions = {}): Tensor {
  verifyImage(image);
  const { height = 48, minWidth = 320, maxWidth = DEFAULT_MAX_WIDTH, rotateDegrees = 0 } = options;
  for (const [name, value] of Object.entries({ height, minWidth, maxWidth })) {
    if (!Number.isSafeInteger(value) || value < 1 || value > 65_536) {
      throw new ProcessingError("OPTIONS_INVALID", `${name}: expected a whole number from 1 to 65536, got ${value}`);
    }
  }
  if (minWidth > maxWidth) {
    throw new ProcessingError("OPTIONS_INVALID", `minWidth ${minWidth} is more than maxWidth ${maxWidth}`);
  }
  const width = Math.max(1, Math.ceil((image.width * height) / image.height));
  if (width > maxWidth) {
    throw new ProcessingError(
      "IMAGE_UNSUITABLE",
      `the image is ${image.width}x${image.height} pixels, too wide for one line of text: ` +
        `expected at most ${Math.floor(maxWidth / height)} times its height; cut it into shorter pieces`,
    );
  }

  const strip = resizeBilinear(rotateDegrees === 180 ? rotate180(image) : image, width, height);
  const paddedWidth = Math.max(width, minWidth);
  // Padding stays 0, which is middle gray after normalization.
  const planes = new Float32Array(3 * height * paddedWidth);
  for (let channel = 0; channel < 3; channel++) {
    for (let y = 0; y < height; y++) {
      const to = (channel * height + y) * paddedWidth;
      const from = y * width * 3 + channelOrder[channel]!;
      for (let x = 0; x < width; x++) planes[to + x] = (strip.data[from + x * 3]! / 255 - 0.5) / 0.5;
    }
  }
  return { name: "x", datatype: "FP32", shape: [1, 3, height, paddedWidth], data: new Uint8Array(planes.buffer) };
}

/**
 * The characters of a dictionary file, one a line, followed by the space that PP-OCR's models know beside it.
 * Throws PARAMETERS_INVALID for an empty dictionary or an empty line within it.
 */
export function parseCharacters(dictionary: string): string[] {
  const lines = dictionary.replace(/\r?\n$/, "").split(/\r?\n/);
  const empty = lines.indexOf("");
  if (empty !== -1) {
    throw new ProcessingError("PARAMETERS_INVALID", `characters: line ${empty + 1} is empty, expected a character`);
  }
  return [...lines, " "];
}

/**
 * Reads the output [1, steps, characters + 1], whose first class is the blank.
 * Throws OUTPUT_INVALID where it does not fit the dictionary or holds no probabilities.
 */
export function decodeTextLine(
  output: Tensor,
  characters: readonly string[],
  minConfidence = DEFAULT_MIN_CONFIDENCE,
): TextLineReading {
  const [batch, , classes] = output.shape;
  if (output.shape.length !== 3 || batch !== 1 || classes !== characters.length + 1) {
    throw new ProcessingError(
      "OUTPUT_INVALID",
      `${output.name}: expected shape [1,steps,${characters.length + 1}] ` +
        `(a blank, ${characters.length - 1} characters of the dictionary and the space), ` +
        `got [${output.shape.join(",")}]; the dictionary may belong to another model`,
    );
  }
  const probabilities = fp32Elements(output);
  // Scores that are no probabilities would make the confidence a lie.
  if (!areProbabilities(probabilities)) {
    throw new ProcessingError("OUTPUT_INVALID", `${output.name}: expected probabilities from 0 to 1`);
  }
  const { text, confidence } = decodeGreedyCtc(probabilities, characters);
  const readable = text.trim() !== "" && confidence >= minConfidence;
  return { text: readable ? text : "", readable, confidence: Math.min(1, confidence) };
}

/** False for NaN too, which fails both comparisons. A plain loop: there are 265,000 of them, each time. */
function areProbabilities(values: Float32Array): boolean {
  for (let index = 0; index < values.length; index++) {
    if (!(values[index]! >= 0 && values[index]! <= 1.001)) return false;
  }
  return true;
}
