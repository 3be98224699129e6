import { closeSync } from "node:fs";
import koffi from "koffi";
import { SignetError } from "../errors.ts";
import { type InheritedFile, loadPlugin } from "./library.ts";
import { SealedFiles } from "./sealed-file.ts";

/**
 * A process for tests that load native code. Its argument is a JSON list of steps; it prints one line of JSON for
 * each: what the plugin said of itself, or the error.
 */
export type LoadStep =
  /** As a service host does it. */
  | { readonly do: "load"; readonly files: readonly InheritedFile[] }
  /** As nobody should: straight from the disk. */
  | { readonly do: "load path"; readonly path: string }
  /** Seals in this process and loads; with `close`, closes the descriptor afterwards, as SealedFiles never does. */
  | { readonly do: "seal and load"; readonly path: string; readonly close: boolean };

const sealedFiles = new SealedFiles();

function perform(step: LoadStep): unknown {
  switch (step.do) {
    case "load":
      return JSON.parse(loadPlugin(step.files).describe(null));
    case "load path":
      koffi.load(step.path);
      return { loaded: true };
    case "seal and load": {
      // Its own cache for a copy that will be closed, as if someone had forgotten why they are kept.
      const files = step.close ? new SealedFiles() : sealedFiles;
      const { fd } = files.sealUnchecked(step.path, "plugin.so");
      const facts = JSON.parse(loadPlugin([{ name: "plugin.so", role: "library", fd }]).describe(null));
      if (step.close) closeSync(fd);
      return { ...facts, fd };
    }
  }
}

for (const step of JSON.parse(process.argv[2]!) as LoadStep[]) {
  let line: unknown;
  try {
    line = perform(step);
  } catch (error) {
    const code = error instanceof SignetError ? error.code : "LOADER";
    line = { code, message: (error as Error).message };
  }
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
