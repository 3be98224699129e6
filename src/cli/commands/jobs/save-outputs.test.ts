import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { useDirectory } from "../../../../test/helpers/crooked.ts";
import type { ResultDownload } from "../../../grpc/index.ts";
import { saveOutputs } from "./save-outputs.ts";

/** Outputs of one byte each, in chunks of all sizes. */
function downloadOf(names: readonly string[], chunks: readonly number[][]): ResultDownload {
  async function* pieces() {
    for (const chunk of chunks) yield Uint8Array.from(chunk);
  }
  return {
    outputs: names.map((name) => ({ name, datatype: "UINT8", shape: [1], bytes: 1 })),
    chunks: pieces(),
  };
}

describe("outputs as files", () => {
  test("have names of their own that lead nowhere else, whatever the outputs are called", async () => {
    const directory = join(useDirectory(), "out");
    const names = ["../../evil", "/etc/passwd", "a b", "a/b", ".", "", "plain"];
    const saved = await saveOutputs(downloadOf(names, [[1, 2, 3], [4], [5, 6, 7]]), directory);
    const files = ["__.._evil.bin", "_etc_passwd.bin", "a_b.bin", "a_b-2.bin", "_.bin", "output.bin", "plain.bin"];
    expect(saved.map(({ file }) => file)).toEqual(files.map((file) => join(directory, file)));
    expect(saved.map(({ file }) => [...readFileSync(file)])).toEqual([[1], [2], [3], [4], [5], [6], [7]]);
  });

  test("are taken away again where the bytes end too soon", async () => {
    const directory = useDirectory();
    const saving = saveOutputs(downloadOf(["a", "b"], [[1]]), directory);
    await expect(saving).rejects.toMatchObject({ code: "INTERNAL" });
    expect(existsSync(directory) && readdirSync(directory)).toEqual([]);
  });
});
