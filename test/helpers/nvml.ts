import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";

const source = join(import.meta.dirname, "..", "..", "native", "test", "nvml.c");

/** Where NVIDIA's library lies below a root. */
export const nvmlDirectory = process.arch === "arm64" ? "usr/lib/aarch64-linux-gnu" : "usr/lib/x86_64-linux-gnu";

/** An empty root of a system, without a driver; removed with the test. */
export function useSystemRoot(): string {
  const root = mkdtempSync(join(tmpdir(), "signet-root-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  mkdirSync(join(root, nvmlDirectory), { recursive: true });
  return root;
}

/** Compiles native/test/nvml.c with these macros. */
export function compileNvml(path: string, macros: readonly string[] = []): string {
  mkdirSync(dirname(path), { recursive: true });
  const flags = ["-shared", "-fPIC", "-O1", "-fvisibility=hidden", ...macros.map((macro) => `-D${macro}`)];
  execFileSync("cc", [...flags, "-o", path, source], { stdio: ["ignore", "ignore", "inherit"] });
  return path;
}

/** A system whose driver has the cards and troubles that the macros of native/test/nvml.c name. */
export function useDriver(...macros: string[]): string {
  const root = useSystemRoot();
  compileNvml(join(root, nvmlDirectory, "libnvidia-ml.so.1"), macros);
  return root;
}
