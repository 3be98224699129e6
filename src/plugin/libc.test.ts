import { spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import koffi from "koffi";
import { expect, test } from "vitest";
import { closeOthersOnExec } from "./libc.ts";

test("a descriptor that this process was started with does not get into the programs it starts", () => {
  const dup = koffi.load(null as unknown as string).func("int dup(int fd)");
  const file = openSync("/dev/zero", "r");
  const inheritable = dup(file) as number; // unlike Node's own, a duplicate is passed on
  const openInChild = () => spawnSync("readlink", [`/proc/self/fd/${inheritable}`], { encoding: "utf8" }).stdout.trim();
  expect(openInChild()).toBe("/dev/zero");
  closeOthersOnExec();
  expect(openInChild()).not.toBe("/dev/zero");
  closeSync(inheritable);
  closeSync(file);
});
