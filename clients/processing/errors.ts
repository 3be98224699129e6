export type ProcessingErrorCode =
  /** The picture's file could not be read. */
  | "IMAGE_UNREADABLE"
  /** The picture is empty, damaged or no picture at all, or its bytes do not fit its size. */
  | "IMAGE_INVALID"
  /** The picture is far too wide or too tall to be what the service reads. */
  | "IMAGE_UNSUITABLE"
  /** An option of the caller is out of range. */
  | "OPTIONS_INVALID"
  /** The service's parameters lack something, or say it wrongly. */
  | "PARAMETERS_INVALID"
  /** The service answered with a tensor that does not fit its parameters. */
  | "OUTPUT_INVALID"
  /** The service asks for a processing that this version does not have. */
  | "PROCESSING_UNKNOWN";

/** The one error of this folder, which stands alone so that clients need nothing of the server. */
export class ProcessingError extends Error {
  override readonly name = "ProcessingError";
  readonly code: ProcessingErrorCode;

  constructor(code: ProcessingErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
