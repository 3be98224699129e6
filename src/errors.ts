import { type ErrorCode, type ExitCode, errorCatalogue, type GrpcStatus } from "./error-catalogue.ts";

export { type ErrorCode, type ExitCode, errorCatalogue, type GrpcStatus } from "./error-catalogue.ts";

/** The one error class. `cause` is for the log and never leaves the process. */
export class SignetError extends Error {
  readonly code: ErrorCode;

  /** @param message where, what was expected, what was found; without the code and without secrets. */
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    // What a plugin, zod or Node says may end a sentence; the next step follows after a full stop of ours.
    super(message.replace(/(?<!\.)\.\s*$/, ""), options);
    this.name = "SignetError";
    this.code = code;
  }

  get status(): GrpcStatus {
    return errorCatalogue[this.code].status;
  }

  get exitCode(): ExitCode {
    return errorCatalogue[this.code].exit;
  }

  get next(): string {
    return errorCatalogue[this.code].next;
  }

  /** Turns anything that was thrown into a SignetError; what was not foreseen becomes INTERNAL. */
  static from(thrown: unknown): SignetError {
    if (thrown instanceof SignetError) return thrown;
    return new SignetError("INTERNAL", "an unexpected error occurred", { cause: thrown });
  }
}

/** Runs what reads the content of a file, and names the file in its error: the content does not know where it was. */
export function inFile<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    throw new SignetError(error.code, `${path}: ${error.message}`, { cause: error });
  }
}

/** What the operating system says of a file, in words. */
const fileFailures: Readonly<Record<string, string>> = {
  ENOENT: "no such file or directory",
  ENOTDIR: "no such file or directory: a part of the path is a file",
  EISDIR: "is a directory",
  EACCES: "permission denied; run this as the user that owns it",
  EPERM: "permission denied; run this as the user that owns it",
  ELOOP: "is a link that is not followed, or leads round in a circle",
  ENAMETOOLONG: "the name is too long",
  ENXIO: "is a pipe or a device, expected a file",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EROFS: "the file system can only be read",
  EMFILE: "too many files are open",
};

/** The error of a file that could not be opened, read or written: the same words everywhere. */
export function fileError(path: string, thrown: unknown, code: ErrorCode = "FILE_UNREADABLE"): SignetError {
  if (thrown instanceof SignetError) return thrown;
  const errno = (thrown as NodeJS.ErrnoException | null)?.code;
  // Not the system's refusal but a mistake of ours.
  if (typeof errno !== "string") return SignetError.from(thrown);
  return new SignetError(code, `${path}: ${fileFailures[errno] ?? errno}`, { cause: thrown });
}
