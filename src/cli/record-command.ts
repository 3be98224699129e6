import type { AuditEntry } from "../audit/index.ts";
import type { DataDirectory } from "../config/index.ts";
import { SignetError } from "../errors.ts";
import { formatError, say } from "./output.ts";

/**
 * Records in the audit log what a command has done. What was done stays done where that fails; the command then says
 * so and ends with exit code 1.
 */
export async function recordCommand(data: DataDirectory, ...entries: readonly AuditEntry[]): Promise<void> {
  const service = await import("../service/index.ts");
  try {
    await service.recordCommand(data, ...entries);
  } catch (error) {
    say(formatError("signet", SignetError.from(error)));
    process.exitCode = 1;
  }
}
