import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type DescriptorProto, FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { service as healthService } from "grpc-health-check";
import { describe, expect, test } from "vitest";
import { attacksOn } from "../helpers/attack.ts";
import { methodOf } from "../helpers/bare-client.ts";
import { chromium, useBrowser, usePageSite } from "../helpers/browser.ts";
import { faultyService, identityService, useServer } from "../helpers/licensed-host.ts";

const attack = attacksOn("calls");

const PAGE = "/test/e2e/browser-page.js";

type Described = { readonly requestType: { readonly fileDescriptorProtos: readonly Buffer[] } };

/**
 * The .proto files as a page's library wants them. Fetch cannot send a stream, so libraries call no method that takes
 * one; a page has it with a single request, which is the same on the wire.
 */
function descriptors(): string {
  const { Check } = healthService as unknown as Record<"Check", Described>;
  const described = [methodOf("ModelInfer") as unknown as Described, Check];
  const file = described.flatMap(({ requestType }) =>
    requestType.fileDescriptorProtos.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes)),
  );
  for (const { messageType, package: scope, service } of file) {
    for (const message of messageType) qualify(message, scope);
    for (const { method } of service) for (const one of method) one.clientStreaming = false;
  }
  return Buffer.from(toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file }))).toString("base64");
}

/** proto-loader leaves out where some types are: in the message itself, or in the package. */
function qualify({ name, field, nestedType, enumType }: DescriptorProto, scope: string, parent = scope): void {
  for (const one of field) {
    if (one.typeName === "" || one.typeName.startsWith(".")) continue;
    const isNested = [...nestedType, ...enumType].some((nested) => nested.name === one.typeName);
    one.typeName = `.${isNested ? `${parent}.${name}` : scope}.${one.typeName}`;
  }
  for (const nested of nestedType) qualify(nested, scope, `${parent}.${name}`);
}

const reason = chromium === undefined ? " (skipped, there is no Chromium)" : "";

describe.skipIf(chromium === undefined)(`Chromium, with a gRPC-Web library from npm${reason}`, () => {
  const name = "does from a page of another origin all that pages do, and nothing from one that is not listed";
  test(name, attack("calls from a page of somebody else's", "in Chromium"), async () => {
    let isWaited = true;
    let host: Awaited<ReturnType<typeof useServer>> | undefined;
    const site = await usePageSite(PAGE, (origin) => ({
      ...{ origin, isWaited, token: host!.token, descriptors: descriptors() },
      baseUrl: `http://${host!.server.httpAddress}`,
    }));
    host = await useServer(
      [
        { ...identityService, name: "floats", config: { datatype: "FP32", shape: [-1] }, limits: {} },
        { ...faultyService, limits: { concurrency: 2 } },
      ],
      { http: { listen: "127.0.0.1:0", origins: [site.origin] }, defaults: { cancelGraceMs: 60_000 } },
      { validDays: 20 },
    );
    useBrowser(`${site.origin}/`);
    expect(await site.told("health")).toBe(1);
    expect(await site.told("metadata")).toBe("FP32");
    expect(await site.told("raw")).toEqual([1, 2.5]);
    expect(await site.told("typed")).toEqual([3, -0.5]);
    expect(await site.told("large")).toBe(true);
    expect(await site.told("stream")).toEqual([{ id: "a", values: [7] }]);
    expect(await site.told("watch")).toBe(1);
    expect(await site.told("trailers")).toBe("expiring");
    const notFound = { status: 5, code: "SERVICE_NOT_FOUND", message: expect.stringContaining("unknown model") };
    expect(await site.told("unknown")).toEqual(notFound);
    expect(await site.told("stranger")).toMatchObject({ status: 16, code: "UNAUTHENTICATED" });
    expect(await site.told("late")).toMatchObject({ status: 4 });
    const { runner } = host.server.services.find(({ conf }) => conf.name === "faulty")!;
    await site.told("waiting");
    await expect.poll(() => runner.running).toBe(1);
    isWaited = false;
    expect(await site.told("cancelled")).toBe(1);
    await expect.poll(() => runner.running).toBe(0);
    expect(await site.told("rest")).toEqual({ status: 404, code: "SERVICE_NOT_FOUND" });

    useBrowser(`${site.strangerOrigin}/`);
    expect(await site.told("stranger-raw")).toEqual({ failed: expect.stringContaining("Failed to fetch") });
    expect(await site.told("stranger-rest")).toEqual({ failed: expect.stringContaining("Failed to fetch") });
  });
});
