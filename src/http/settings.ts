import { z } from "zod";
import type { Inference, LogSettings, Tracing } from "../service/index.ts";
import { type Call, MAX_SMALL_BODY_BYTES, type Route } from "./call.ts";

const logSchema = z.record(z.string(), z.union([z.boolean(), z.int().min(0), z.string()]));
/** A list, or the one thing in it; null or an empty list takes a setting back. */
const traceSchema = z.record(
  z.string(),
  z.union([z.string(), z.int(), z.array(z.string()), z.null()]).transform((value) => {
    if (value === null) return [];
    return Array.isArray(value) ? value : [`${value}`];
  }),
);

/** The calls about settings of a running server: GET reads, POST changes what it names. */
export function settingsRoutes({
  inference,
  tracing,
  logSettings,
}: {
  inference: Inference;
  tracing: Tracing;
  logSettings: LogSettings;
}): Route[] {
  const post = { method: "POST", maxBodyBytes: MAX_SMALL_BODY_BYTES } as const;
  const change = async (call: Call, wanted: Record<string, string[]>) => {
    const service = call.part("model");
    if (service !== "") {
      call.identity.require("operate", service);
      inference.find(service, "");
    }
    const now = await tracing.change(call.identity, service === "" ? null : service, new Map(Object.entries(wanted)));
    return Object.fromEntries([...now].map(([name, values]) => [name, name === "trace_level" ? values : values[0]]));
  };
  const ofTraces = (path: string, where: string): Route[] => [
    { method: "GET", path, summary: `How calls ${where} are traced.`, answer: (call) => change(call, {}) },
    {
      ...post,
      path,
      body: traceSchema,
      summary: `Changes how calls ${where} are traced.`,
      answer: async (call) => {
        call.identity.require("operate", call.part("model") || undefined);
        return change(call, await call.json(traceSchema));
      },
    },
  ];
  return [
    ...ofTraces("/v2/trace/setting", "of the server"),
    ...ofTraces("/v2/models/{model}/trace/setting", "of a service"),
    {
      method: "GET",
      path: "/v2/logging",
      summary: "How the server's log is written.",
      answer: async ({ identity }) => Object.fromEntries(logSettings.change(identity, new Map())),
    },
    {
      ...post,
      path: "/v2/logging",
      body: logSchema,
      summary: "Changes how the server's log is written.",
      answer: async (call) => {
        call.identity.require("operate");
        const wanted = await call.json(logSchema);
        return Object.fromEntries(logSettings.change(call.identity, new Map(Object.entries(wanted))));
      },
    },
  ];
}
