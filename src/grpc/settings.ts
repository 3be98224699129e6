import { SignetError } from "../errors.ts";
import type { LogSettingValue } from "../service/index.ts";
import { quoteName } from "../tensor/index.ts";
import type { answering } from "./call.ts";
import { identityOf } from "./call-gate.ts";
import type { LogSettingMessage, TraceSettingsMessage } from "./extension-messages.ts";
import type { InferenceEdge } from "./inference.ts";
import type { InferenceHandlers } from "./messages.ts";

/** The calls about settings of a running server. Without settings a request only reads. */
export function settingsHandlers(
  { inference, tracing, logSettings }: Pick<InferenceEdge, "inference" | "tracing" | "logSettings">,
  answer: ReturnType<typeof answering>,
): Pick<InferenceHandlers, "TraceSetting" | "LogSettings"> {
  return {
    TraceSetting: answer(async (call) => {
      const identity = identityOf(call);
      const { settings, model_name: service } = call.request;
      const wanted = new Map(Object.entries(settings).map(([name, { value }]) => [name, value]));
      if (service !== "") {
        identity.require("operate", service);
        inference.find(service, "");
      }
      const now = await tracing.change(identity, service === "" ? null : service, wanted);
      return {
        settings: Object.fromEntries([...now].map(([name, value]) => [name, { value }])) as TraceSettingsMessage,
      };
    }),
    LogSettings: answer(async (call) => {
      const wanted = new Map(
        Object.entries(call.request.settings).map(([name, value]) => [name, readValue(name, value)]),
      );
      const now = logSettings.change(identityOf(call), wanted);
      return { settings: Object.fromEntries([...now].map(([name, value]) => [name, writeValue(value)])) };
    }),
  };
}

function readValue(name: string, { bool_param, uint32_param, string_param }: LogSettingMessage): LogSettingValue {
  const value = bool_param ?? uint32_param ?? string_param;
  if (value !== undefined) return value;
  throw new SignetError("REQUEST_MALFORMED", `setting ${quoteName(name)}: expected a value, found none`);
}

function writeValue(value: LogSettingValue): LogSettingMessage {
  if (typeof value === "boolean") return { bool_param: value };
  return typeof value === "number" ? { uint32_param: value } : { string_param: value };
}
