import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { SignetError } from "../errors.ts";
import { CODE_KEY, errorFromGrpcStatus, grpcStatusFromError } from "./errors.ts";

function failure(code: status, details: string, metadata = new Metadata()): ServiceError {
  return Object.assign(new Error(details), { code, details, metadata });
}

test("an error becomes its status, with its code beside it and its next step behind it", () => {
  const sent = grpcStatusFromError(new SignetError("SERVICE_BUSY", "service ocr: 2 of 2 jobs are running"));
  expect(sent.code).toBe(status.RESOURCE_EXHAUSTED);
  expect(sent.metadata.get(CODE_KEY)).toEqual(["SERVICE_BUSY"]);
  expect(sent.details).toMatch(/^service ocr: 2 of 2 jobs are running\. Try again/);
});

test("what was not foreseen is sent as INTERNAL without its words", () => {
  const sent = grpcStatusFromError(new Error("/var/lib/secret/path"));
  expect(sent.code).toBe(status.INTERNAL);
  expect(JSON.stringify(sent)).not.toContain("secret");
});

test("the cause stays here", () => {
  const sent = grpcStatusFromError(new SignetError("PLUGIN_FAILED", "words", { cause: new Error("inside") }));
  expect(JSON.stringify(sent)).not.toContain("inside");
});

test("long words with half a character at the cut can still be sent", () => {
  const sent = grpcStatusFromError(new SignetError("PLUGIN_FAILED", "😀".repeat(10_000).slice(1)));
  expect(sent.details.length).toBeLessThan(1200);
  expect(() => encodeURI(sent.details)).not.toThrow();
});

test("a client gets the server's own error back", () => {
  const error = new SignetError("LICENSE_RUNS_EXHAUSTED", "service ocr: 1000 of 1000 runs are used");
  const { code, details, metadata } = grpcStatusFromError(error);
  const received = errorFromGrpcStatus(failure(code, details, metadata));
  expect(received.code).toBe(error.code);
  expect(received.message).toBe(error.message);
});

test.each([
  [status.UNAVAILABLE, "UNREACHABLE"],
  [status.UNIMPLEMENTED, "NOT_IMPLEMENTED"],
  [status.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"],
  [status.DATA_LOSS, "INTERNAL"],
])("status %i without a code of ours becomes %s", (code, expected) => {
  expect(errorFromGrpcStatus(failure(code, "words")).code).toBe(expected);
});

test("a code we do not have is not believed", () => {
  const metadata = new Metadata();
  metadata.set(CODE_KEY, "toString");
  expect(errorFromGrpcStatus(failure(status.NOT_FOUND, "words", metadata)).code).toBe("SERVICE_NOT_FOUND");
});
