import { fileURLToPath } from "node:url";
import type { ServiceDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const names = ["signet.v1.JobService", "signet.v1.AdminService"] as const;

/**
 * The services of package signet.v1 for tools that ask what there is. proto-loader makes one file of each package that
 * is read together, and names it by the package: read apart, the two would be two files of one name.
 */
export function describedServices(): Record<string, ServiceDefinition> {
  const definition = loadSync(["signet/v1/jobs.proto", "signet/v1/admin.proto"], {
    includeDirs: [fileURLToPath(new URL("../../proto", import.meta.url))],
    keepCase: true,
  });
  return Object.fromEntries(names.map((name) => [name, definition[name] as unknown as ServiceDefinition]));
}
