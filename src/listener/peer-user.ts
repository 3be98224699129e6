import { readFileSync } from "node:fs";
import { isIPv4 } from "node:net";

const ESTABLISHED = "01";

/**
 * The user of the operating system whose process is at the other end of a TCP connection, as the kernel's table of this
 * machine's sockets has it. null where the other end is on another machine, or its user is not certain.
 *
 * @param peer `address:port`, the address without brackets
 */
export function userOfPeer(peer: string, read: (file: string) => string = readTable): number | null {
  const colon = peer.lastIndexOf(":");
  const port = Number(peer.slice(colon + 1))
    .toString(16)
    .toUpperCase()
    .padStart(4, "0");
  const address = peer.slice(0, colon).replace(/^\[|\]$/g, "");
  const ends = new Set(hexForms(address).map((hex) => `${hex}:${port}`));
  const users = new Set<number>();
  for (const file of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const line of read(file).split("\n").slice(1)) {
      const [, local, , state, , , , uid] = line.trim().split(/\s+/);
      if (local !== undefined && ends.has(local) && state === ESTABLISHED) users.add(Number(uid));
    }
  }
  // Two sockets may have the same address and port towards different servers.
  return users.size === 1 ? [...users][0]! : null;
}

function readTable(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return ""; // a kernel without IPv6
  }
}

/** How the kernel writes an address: 32 bits at a time in the machine's byte order, IPv4 also as IPv6 has it. */
function hexForms(address: string): string[] {
  const v4 = address.replace(/^::ffff:/i, "");
  if (!isIPv4(v4)) {
    const bytes = bytesOfIPv6(address);
    return bytes === null ? [] : [kernelHex(bytes)];
  }
  const bytes = v4.split(".").map(Number);
  return [kernelHex(bytes), kernelHex([...Array(10).fill(0), 255, 255, ...bytes])];
}

function kernelHex(bytes: readonly number[]): string {
  let hex = "";
  for (let word = 0; word < bytes.length; word += 4) {
    for (let index = 3; index >= 0; index--) hex += bytes[word + index]!.toString(16).padStart(2, "0");
  }
  return hex.toUpperCase();
}

function bytesOfIPv6(address: string): number[] | null {
  const [head = "", tail] = address.split("%")[0]!.split("::");
  const groups = (text: string) => (text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16)));
  const first = groups(head);
  const last = tail === undefined ? [] : groups(tail);
  const missing = 8 - first.length - last.length;
  if (missing < 0 || (tail === undefined && missing !== 0)) return null;
  const all = [...first, ...Array<number>(missing).fill(0), ...last];
  if (all.some((group) => !(group >= 0 && group <= 0xffff))) return null;
  return all.flatMap((group) => [group >> 8, group & 0xff]);
}
