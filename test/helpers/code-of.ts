import { type ErrorCode, SignetError } from "../../src/errors.ts";

/** The code that an action is refused with. What is not a SignetError is a fault of the program and goes on up. */
export function codeOf(act: () => unknown): ErrorCode | "none" {
  try {
    act();
  } catch (error) {
    return refusalCode(error);
  }
  return "none";
}

/** The same for what answers later. */
export async function codeOfAsync(act: () => unknown): Promise<ErrorCode | "none"> {
  try {
    await act();
  } catch (error) {
    return refusalCode(error);
  }
  return "none";
}

function refusalCode(error: unknown): ErrorCode {
  if (!(error instanceof SignetError)) throw error;
  return error.code;
}
