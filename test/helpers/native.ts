import { join } from "node:path";

const root = join(import.meta.dirname, "..", "..");

/** The path of a library that `npm run setup` built from native/. */
export function nativeLibrary(name: "identity" | "onnxruntime" | "faulty"): string {
  return join(root, "build", "native", `libsignet_${name}.so`);
}
