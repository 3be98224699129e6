import { z } from "zod";
import { SignetError } from "../errors.ts";
import { datatypeNames, MAX_RANK } from "../tensor/index.ts";

const sentence = z.string().max(2000);

/** What describe() says with a null instance: the plugin's own facts. Unknown keys are allowed and ignored. */
export const pluginFactsSchema = z.object({
  name: z.string().min(1).max(128),
  version: z.string().min(1).max(64),
  vendor: z.string().max(200),
  description: sentence,
  /** "concurrent": run() may be called by several threads at once on one instance; "single": one at a time. */
  threading: z.enum(["concurrent", "single"]),
  /** "poll": run() looks at the cancel word; "none": it cannot be stopped. */
  cancel: z.enum(["poll", "none"]),
  progress: z.boolean(),
  devices: z.array(z.string().max(32)).min(1),
  files: sentence,
  config: z.record(z.string().max(64), sentence),
});
export type PluginFacts = z.infer<typeof pluginFactsSchema>;

const tensors = z
  .array(
    z.object({
      name: z.string().min(1).max(256),
      datatype: z.enum(datatypeNames),
      shape: z.array(z.int().min(-1)).max(MAX_RANK),
    }),
  )
  .max(64);

/** What describe() says with an instance: the tensors of its model. */
const instanceFactsSchema = z.object({ inputs: tensors, outputs: tensors.min(1) });
export type InstanceFacts = z.infer<typeof instanceFactsSchema>;

/** Reads a description, which comes from a process that may have been compromised. @throws PLUGIN_INCOMPATIBLE */
export function parsePluginFacts(json: string): PluginFacts {
  return parse(pluginFactsSchema, json, "describe(NULL)");
}

/** @throws PLUGIN_INCOMPATIBLE */
export function parseInstanceFacts(json: string): InstanceFacts {
  return parse(instanceFactsSchema, json, "describe(instance)");
}

function parse<T>(schema: z.ZodType<T>, json: string, source: string): T {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new SignetError(
      "PLUGIN_INCOMPATIBLE",
      `${source}: expected JSON, found ${JSON.stringify(json.slice(0, 80))}`,
    );
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new SignetError("PLUGIN_INCOMPATIBLE", `${source}: ${issue.path.join(".") || "the whole"}: ${issue.message}`);
}
