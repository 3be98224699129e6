import koffi from "koffi";

const flock = koffi.load("libc.so.6").func("int flock(int fd, int operation)");
const LOCK_EX = 2;
const LOCK_NB = 4;

/** The lock the server uses; here because only tests of this folder may reach native code. */
export function lockFile(fd: number): boolean {
  return flock(fd, LOCK_EX | LOCK_NB) === 0;
}
