import { z } from "zod";
import type { Route } from "./call.ts";

/** The routes as an OpenAPI 3.1 document, for programs and for people who look around. */
export function openApiDocument(routes: readonly Route[], version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operationOf(route) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Signet",
      version,
      description: "The REST form of the v2 inference protocol (Open Inference Protocol) with Triton's extensions.",
    },
    security: [{ token: [] }, { certificate: [] }],
    paths,
    components: {
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "A token of `signet access add`." },
        certificate: { type: "mutualTLS", description: "A certificate that was let in with `signet access add`." },
      },
      schemas: { Failure: failureSchema },
    },
  };
}

const failureSchema = {
  type: "object",
  required: ["error", "code"],
  properties: {
    error: { type: "string", description: "What happened, and what to do about it." },
    code: { type: "string", description: "The stable code; docs/reference/errors.md lists them." },
  },
};

function operationOf({ method, path, summary, isOpen, maxBodyBytes, body, answerType }: Route): object {
  const parts = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!);
  const parameters = parts.map((name) => ({ name, in: "path", required: true, schema: { type: "string" } }));
  const failure = { content: { "application/json": { schema: { $ref: "#/components/schemas/Failure" } } } };
  return {
    operationId: operationIdOf(method, path),
    summary,
    ...(isOpen ? { security: [] } : {}),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(maxBodyBytes === undefined ? {} : { requestBody: bodyOf(body) }),
    responses: {
      200: { description: "Done.", ...(answerType === undefined ? {} : { content: { [answerType]: {} } }) },
      default: { description: "Refused or failed; the header signet-code has the code too.", ...failure },
    },
  };
}

function bodyOf(schema: z.ZodType | undefined): object {
  const json = schema === undefined ? {} : z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  return { content: { "application/json": { schema: json } } };
}

/** `GET /v2/models/{model}/ready` is getV2ModelsByModelReady. */
function operationIdOf(method: string, path: string): string {
  const words = path.replaceAll(/\{(\w+)\}/g, "by-$1").split(/[^A-Za-z0-9]+/);
  return method.toLowerCase() + words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("");
}
