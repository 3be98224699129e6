import { ProcessingError } from "./errors.ts";
import type { RgbImage } from "./image.ts";
import type { Tensor } from "./tensor.ts";
import {
  DEFAULT_MIN_CONFIDENCE,
  decodeTextLine,
  parseCharacters,
  prepareTextLine,
  type TextLineReading,
} from "./text-line.ts";

/** A service's parameters, as ModelConfig tells them: `processing` names the processing, the rest is its own. */
export type ProcessingParameters = Readonly<Record<string, string>>;

export interface PrepareOptions {
  /** Turns the picture first. Default 0. */
  readonly rotateDegrees?: 0 | 180;
}

/** What a picture says. */
export interface Reading extends TextLineReading {
  /** How the picture had to be turned to be read. */
  readonly rotateDegrees: 0 | 180;
}

/** One call of the service: its inputs in, its outputs out. */
export type Infer = (inputs: Tensor[]) => Promise<readonly Tensor[]>;

/** What happens on the client's side of a service, before a call and after it. */
export interface Processing {
  readonly name: string;
  /** The input tensors of one call. */
  prepare(image: RgbImage, parameters: ProcessingParameters, options?: PrepareOptions): Tensor[];
  /** What the outputs of one call say; `readable: false` invites another try with the picture turned. */
  interpret(outputs: readonly Tensor[], parameters: ProcessingParameters): TextLineReading;
  /** Prepares, calls and interprets; calls a second time (another licensed run) where the first leaves doubt. */
  read(image: RgbImage, parameters: ProcessingParameters, infer: Infer): Promise<Reading>;
}

/**
 * Clean lines are read surer than this, and most that stand upside down are not: so a first answer below it is worth
 * a second call. And two calls are two chances to be wrong, so the second answer counts only above it.
 */
const SURE_CONFIDENCE = 0.9;

const textLine: Processing = {
  name: "text-line",
  prepare(image, _parameters, options = {}) {
    return [prepareTextLine(image, options)];
  },
  interpret(outputs, parameters) {
    const [output] = outputs;
    if (output === undefined || outputs.length !== 1) {
      throw new ProcessingError("OUTPUT_INVALID", `expected 1 output tensor, got ${outputs.length}`);
    }
    return decodeTextLine(output, charactersOf(parameters), minConfidenceOf(parameters));
  },
  async read(image, parameters, infer) {
    // Parameters that are wrong are found before a licensed run is spent.
    charactersOf(parameters);
    minConfidenceOf(parameters);
    const upright = this.interpret(await infer(this.prepare(image, parameters)), parameters);
    if (upright.readable && upright.confidence >= SURE_CONFIDENCE) return { ...upright, rotateDegrees: 0 };
    const turned = this.interpret(await infer(this.prepare(image, parameters, { rotateDegrees: 180 })), parameters);
    const isSurer = turned.confidence > upright.confidence && turned.confidence >= SURE_CONFIDENCE;
    return turned.readable && isSurer ? { ...turned, rotateDegrees: 180 } : { ...upright, rotateDegrees: 0 };
  },
};

function charactersOf(parameters: ProcessingParameters): string[] {
  const { characters } = parameters;
  if (characters === undefined || characters === "") {
    throw new ProcessingError(
      "PARAMETERS_INVALID",
      "characters: expected the model's dictionary, one character a line, got nothing",
    );
  }
  return parseCharacters(characters);
}

function minConfidenceOf(parameters: ProcessingParameters): number {
  const { minConfidence } = parameters;
  if (minConfidence === undefined) return DEFAULT_MIN_CONFIDENCE;
  const value = minConfidence.trim() === "" ? Number.NaN : Number(minConfidence);
  if (!(value >= 0 && value <= 1)) {
    throw new ProcessingError("PARAMETERS_INVALID", `minConfidence: expected 0 to 1, got "${minConfidence}"`);
  }
  return value;
}

const processings: readonly Processing[] = [textLine];

/** The names that a service's `processing` parameter may have. */
export const processingNames: readonly string[] = processings.map(({ name }) => name);

/** The processing of that name. Throws PROCESSING_UNKNOWN. */
export function processingFor(name: string): Processing {
  const processing = processings.find((candidate) => candidate.name === name);
  if (processing === undefined) {
    throw new ProcessingError(
      "PROCESSING_UNKNOWN",
      `the service asks for the processing "${name}"; this version has ${processingNames.join(", ")}`,
    );
  }
  return processing;
}
