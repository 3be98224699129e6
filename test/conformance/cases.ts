import type { Area, ConformanceCase, Step, WireName } from "./case.ts";
import { wireNames } from "./case.ts";
import { operatingArea } from "./cases/operating.ts";
import { parametersArea, unfitArea } from "./cases/requests.ts";
import { serverArea } from "./cases/server.ts";
import { streamsArea } from "./cases/streams.ts";
import { tensorsArea } from "./cases/tensors.ts";
import { operations } from "./operations.ts";
import { canPython } from "./python-wire.ts";

/** The table: every case once, for every wire that has it. */
export const areas: readonly Area[] = [serverArea, tensorsArea, unfitArea, parametersArea, streamsArea, operatingArea];

/** The wires that a case is run over. */
export function wiresOf({ steps, notOver = [] }: ConformanceCase): WireName[] {
  return wireNames.filter((wire) => !notOver.includes(wire) && steps.every((step) => canSay(wire, step)));
}

function canSay(wire: WireName, step: Step): boolean {
  if (wire === "REST") return operations[step.call].rest !== null && step.timeoutMs === undefined;
  return wire === "Python gRPC" || wire === "Python HTTP" ? canPython(wire, step) : true;
}
