export { ProcessingError, type ProcessingErrorCode } from "./errors.ts";
export { type RgbImage, resizeBilinear, rotate180 } from "./image.ts";
export {
  type Infer,
  type PrepareOptions,
  type Processing,
  type ProcessingParameters,
  processingFor,
  processingNames,
  type Reading,
} from "./processing.ts";
export type { Tensor } from "./tensor.ts";
export {
  DEFAULT_MIN_CONFIDENCE,
  decodeTextLine,
  parseCharacters,
  prepareTextLine,
  type TextLineOptions,
  type TextLineReading,
} from "./text-line.ts";
