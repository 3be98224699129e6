import type { ErrorCode } from "../errors.ts";
import { say } from "./output.ts";

/** A service whose calls the license refuses although the license itself holds; null where it does not. */
export interface RefusedService {
  readonly name: string;
  readonly refusal: ErrorCode | null;
}

/** `text-recognizer has no runs left`, for those that are refused. */
export function describeRefused(services: readonly RefusedService[]): string[] {
  return services.flatMap(({ name, refusal }) => (refusal === null ? [] : [`${name} ${wordsFor(refusal)}`]));
}

/** What would surprise whoever starts the server: it serves, and every call of these services is refused. */
export function warnRefusedServices(services: readonly RefusedService[]): void {
  for (const refused of describeRefused(services)) say(`Warning: ${refused}: its calls are refused.`);
  const isUsedUp = services.some(({ refusal }) => refusal !== null && refusal !== "LICENSE_NOT_YET_VALID");
  if (isUsedUp) say("Send a fresh `signet host request` to your vendor to renew.");
}

function wordsFor(refusal: ErrorCode): string {
  switch (refusal) {
    case "LICENSE_RUNS_EXHAUSTED":
      return "has no runs left";
    case "LICENSE_RUN_TIME_EXHAUSTED":
      return "has no run time left";
    case "LICENSE_NOT_YET_VALID":
      return "starts later";
    case "LICENSE_EXPIRED":
      return "has expired";
    default:
      return `is refused (${refusal})`;
  }
}
