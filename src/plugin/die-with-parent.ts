import { askForDeathWithParent, exitNow, hasHungUp, peerPid } from "./libc.ts";

/**
 * From now on this process ends when the thread that started it does, whatever it is busy with then. It ends at once
 * where that has happened already: the kernel only tells of an end that is still to come.
 * @param channelFd a socket of a pair whose other one the parent alone has
 */
export function dieWithParent(channelFd: number): void {
  askForDeathWithParent();
  if (isOrphan(channelFd)) exitNow(1);
}

/**
 * The channel tells through whatever stands in between, such as bubblewrap, and whoever takes in orphans. A parent
 * with much memory closes its end late, after its children have got another parent, so that is asked too. Seen from
 * inside a name space the parent has no number; there bubblewrap began to watch it long before this.
 */
function isOrphan(channelFd: number): boolean {
  if (hasHungUp(channelFd)) return true;
  const parent = peerPid(channelFd);
  return parent !== 0 && process.ppid !== parent;
}
