import type { Needs, Shortage } from "../../store/index.ts";
import type { GpuRoom } from "./room.ts";

/** Why no GPU can be had, in words for people. @param rooms every GPU that could be taken at some time */
export function explainGpus({ gpus, gpuMemoryBytes }: Needs, rooms: readonly GpuRoom[], reason: string | null): string {
  const wanted = `${gpus === 1 ? "a GPU" : `${gpus} GPUs`} with ${formatBytes(gpuMemoryBytes)}`;
  if (rooms.length === 0) return `${wanted}, and there is none${reason === null ? "" : `: ${reason}`}`;
  const largeEnough = rooms.filter(({ gpu }) => gpu.totalBytes >= gpuMemoryBytes);
  if (largeEnough.length < gpus) {
    const largest = Math.max(...rooms.map(({ gpu }) => gpu.totalBytes));
    return `${wanted}, and this host has ${largeEnough.length} of ${rooms.length} (the largest has ${formatBytes(largest)})`;
  }
  // The one that lacks least says best what to wait for.
  const short = largeEnough
    .filter(({ gpu, roomBytes }) => gpu.fault !== null || roomBytes < gpuMemoryBytes)
    .sort((a, b) => Number(a.gpu.fault !== null) - Number(b.gpu.fault !== null) || b.roomBytes - a.roomBytes);
  const [nearest] = short;
  return nearest === undefined ? wanted : `${formatBytes(gpuMemoryBytes)} on ${describeRoom(nearest)}`;
}

function describeRoom({ gpu, holders, roomBytes }: GpuRoom): string {
  if (gpu.fault !== null) return `${gpu.name}, which cannot be used: ${gpu.fault}`;
  const held = holders.length > 0 ? [`held by ${holders.join(", ")}`] : [];
  // What is used and held by nobody here is another program's, or more than a service said.
  const others = holders.length === 0 ? [`used by other programs, ${formatBytes(roomBytes)} free`] : [];
  return [gpu.name, ...held, ...others].join(", ");
}

/** What the store has too little of, in words for people. */
export function explainShortage({ device, resource, needed, heldBy }: Shortage): string {
  const holders = heldBy.map(({ service }) => service);
  const held = holders.length === 0 ? ", more than there is" : `, held by ${holders.join(", ")}`;
  if (resource === "cores") return `${needed} ${needed === 1 ? "core" : "cores"} of ${device}${held}`;
  if (resource === "devices") return `${needed} of ${device}${held}`;
  return device === "cpu" ? `${formatBytes(needed)} of memory${held}` : `${formatBytes(needed)} on ${device}${held}`;
}

/** `3.1 GiB`, or `512 MiB`. */
export function formatBytes(bytes: number): string {
  const gib = bytes / 2 ** 30;
  return gib >= 1 ? `${Number(gib.toFixed(1))} GiB` : `${Math.round(bytes / 2 ** 20)} MiB`;
}
