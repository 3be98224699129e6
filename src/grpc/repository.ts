import { SignetError } from "../errors.ts";
import type { Repository } from "../service/index.ts";
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
      refuseContent(call.request);
      await repository.load(identity, call.request.model_name);
      return {};
    }),
    RepositoryModelUnload: answer(async (call) => {
      const identity = identityOf(call);
      identity.require("operate", call.request.model_name);
      verifyRepositoryName(call.request);
      verifyUnloadParameters(call.request);
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

/** In Triton these are a configuration and files that the caller makes up: another way to run any code. */
function refuseContent({ model_name: name, parameters }: RepositoryModelMessage): void {
  const [first] = Object.keys(parameters);
  if (first === undefined) return;
  throw new SignetError(
    "NOT_IN_LICENSE",
    `${quoteName(name)}: expected to be loaded as the license has it, found the parameter ${quoteName(first)}`,
  );
}

function verifyUnloadParameters({ parameters }: RepositoryModelMessage): void {
  for (const [name, { bool_param: value }] of Object.entries(parameters)) {
    if (name !== "unload_dependents" || value === undefined) {
      const words = `expected no parameter but unload_dependents, a bool, found ${quoteName(name)}`;
      throw new SignetError("REQUEST_MALFORMED", words);
    }
  }
}
