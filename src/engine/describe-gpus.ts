import type { GpuReading } from "../plugin/index.ts";

/** `2 x NVIDIA H100 (80 GiB; MIG on 1), driver 550.54.15`, or why there are none. Never a UUID. */
export function describeGpus({ gpus, driverVersion, reason }: GpuReading): string {
  const kinds = Map.groupBy(gpus, ({ name, memoryBytes }) => {
    const memory = memoryBytes === null ? "" : ` (${Math.round(memoryBytes / 2 ** 30)} GiB)`;
    return `${name ?? "GPU"}${memory}`;
  });
  const parts = [...kinds].map(([kind, alike]) => {
    const cut = alike.filter(({ mig }) => mig === "on").length;
    return `${alike.length} x ${kind}${cut === 0 ? "" : `, ${cut} cut by MIG`}`;
  });
  const driver = driverVersion === null ? [] : [`driver ${driverVersion}`];
  return [...parts, ...(gpus.length === 0 ? [] : driver), ...(reason === null ? [] : [reason])].join("; ");
}
