import { z } from "zod";
import { type Repository, refuseContent, verifyUnloadParameters } from "../service/index.ts";
import { MAX_SMALL_BODY_BYTES, type Route } from "./call.ts";
import { parametersSchema } from "./parameters.ts";

const indexSchema = z.object({ ready: z.boolean().default(false) });
const modelSchema = z.object({ parameters: parametersSchema });

/** The calls about which services are loaded. */
export function repositoryRoutes(repository: Repository): Route[] {
  const change = { method: "POST", maxBodyBytes: MAX_SMALL_BODY_BYTES } as const;
  return [
    {
      ...change,
      path: "/v2/repository/index",
      body: indexSchema,
      summary: "Which services are licensed, and where they stand.",
      answer: async (call) => {
        const models = repository.index(call.identity);
        const { ready } = await call.json(indexSchema);
        return ready ? models.filter(({ state }) => state === "READY") : models;
      },
    },
    {
      ...change,
      path: "/v2/repository/models/{model}/load",
      body: modelSchema,
      summary: "Loads a service that was unloaded.",
      answer: async (call) => {
        const model = call.part("model");
        call.identity.require("operate", model);
        refuseContent(model, (await call.json(modelSchema)).parameters ?? {});
        await repository.load(call.identity, model);
        return {};
      },
    },
    {
      ...change,
      path: "/v2/repository/models/{model}/unload",
      body: modelSchema,
      summary: "Lets a service's jobs end, and then its process.",
      answer: async (call) => {
        const model = call.part("model");
        call.identity.require("operate", model);
        verifyUnloadParameters((await call.json(modelSchema)).parameters ?? {});
        await repository.unload(call.identity, model);
        return {};
      },
    },
  ];
}
