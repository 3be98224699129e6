import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { readSection } from "../../test/contract/document-claims.ts";
import { SignetError } from "../errors.ts";
import { failureFromError } from "./errors.ts";
import { routesOf } from "./server.ts";

const page = readFileSync(new URL("../../docs/reference/rest.md", import.meta.url), "utf8");

test("docs/reference/rest.md has every call, and no other", () => {
  // No part of the server is asked for what the routes are.
  const routes = routesOf({ version: "1", maxMessageBytes: 1 } as Parameters<typeof routesOf>[0]);
  const optional = "[/versions/{version}]";
  const written = [...readSection(page, "## Calls").matchAll(/^\| `((?:GET|POST) [^`]+)` \|/gm)].flatMap(([, call]) =>
    call!.includes(optional) ? [call!.replace(optional, ""), call!.replace(optional, optional.slice(1, -1))] : [call!],
  );
  expect(written.toSorted()).toEqual(routes.map(({ method, path }) => `${method} ${path}`).toSorted());
});

test("docs/reference/rest.md has the statuses that failures get", () => {
  const rows = [...readSection(page, "## Errors").matchAll(/^\| ([A-Z_]+) \| (\d+) \|$/gm)];
  expect(rows.length).toBe(13);
  const samples = {
    INVALID_ARGUMENT: "REQUEST_MALFORMED",
    FAILED_PRECONDITION: "LIBRARY_CHANGED",
    UNAUTHENTICATED: "UNAUTHENTICATED",
    PERMISSION_DENIED: "PERMISSION_DENIED",
    NOT_FOUND: "SERVICE_NOT_FOUND",
    ALREADY_EXISTS: "SHARED_MEMORY_EXISTS",
    RESOURCE_EXHAUSTED: "QUEUE_FULL",
    CANCELLED: "CANCELLED",
    INTERNAL: "INTERNAL",
    UNIMPLEMENTED: "NOT_IMPLEMENTED",
    UNAVAILABLE: "SERVICE_CRASHED",
    DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
  } as const;
  for (const [grpcStatus, code] of Object.entries(samples)) {
    const error = new SignetError(code, "words");
    expect(error.status).toBe(grpcStatus);
    const row = rows.find(([, name]) => name === grpcStatus);
    expect([grpcStatus, failureFromError(error).status]).toEqual([grpcStatus, Number(row?.[2])]);
  }
});
