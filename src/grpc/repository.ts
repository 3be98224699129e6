import { SignetError } from "../errors.ts";
import { type Repository, refuseContent, verifyUnloadParameters } from "../service/index.ts";
import { quoteName } from "../tensor/index.ts";
import type { answering } from "./call.ts";
import { identityOf } from "./call-gate.ts";
import type { RepositoryModelMessage, RepositoryRequestMessage } from "./extension-messages.ts";
import type { InferenceHandlers } from "./messages.ts";

type RepositoryHandlers = Pick<InferenceHandlers, "RepositoryIndex" | "RepositoryModelLoad" | "RepositoryModelUnload">;

/** The calls about which services are loaded. */
export function repositoryHandlers(repository: Repository, answer: ReturnType<typeof answering>): RepositoryHandlers {
  return {
    RepositoryIndex: answer(async (call) => {
      const models = repository.index(identityOf(call));
      verifyRepositoryName(call.request);
      return { models: call.request.ready ? models.filter(({ state }) => state === "READY") : models };
    }),
    RepositoryModelLoad: answer(async (call) => {
      const identity = identityOf(call);
      identity.require("operate", call.request.model_name);
      verifyRepositoryName(call.request);
      refuseContent(call.request.model_name, call.request.parameters);
      await repository.load(identity, call.request.model_name);
      return {};
    }),
    RepositoryModelUnload: answer(async (call) => {
      const identity = identityOf(call);
      identity.require("operate", call.request.model_name);
      verifyRepositoryName(call.request);
      verifyUnloadParameters(valuesOf(call.request));
      await repository.unload(identity, call.request.model_name);
      return {};
    }),
  };
}

function verifyRepositoryName({ repository_name: name }: RepositoryRequestMessage): void {
  if (name === "") return;
  const words = `repository_name: expected none, since the license is the one repository, found ${quoteName(name)}`;
  throw new SignetError("NOT_IMPLEMENTED", words);
}

function valuesOf({ parameters }: RepositoryModelMessage): Record<string, boolean | undefined> {
  return Object.fromEntries(Object.entries(parameters).map(([name, { bool_param }]) => [name, bool_param]));
}
