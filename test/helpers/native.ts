import { join } from "node:path";

const root = join(import.meta.dirname, "..", "..");

/** The path of a library that `npm run setup` built from native/. */
export function nativeLibrary(name: "identity" | "onnxruntime" | "faulty" | "batched"): string {
  return join(root, "build", "native", `libsignet_${name}.so`);
}

/** The path of a small real model from the package of PP-OCR models. */
export function ocrModel(name: string): string {
  return join(root, "node_modules", "@gutenye", "ocr-models", "assets", name);
}

/** The path of a program that `npm run setup` built from native/. */
export function nativeProgram(name: string): string {
  return join(root, "build", "native", name);
}
