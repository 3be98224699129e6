import { createHash } from "node:crypto";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { describe, expect, onTestFinished, test } from "vitest";
import { SealedFiles, verifyFiles } from "../../src/plugin/index.ts";
import { attacksOn, observed } from "../helpers/attack.ts";
import { failureOf, useBareClient } from "../helpers/bare-client.ts";
import { codeOf } from "../helpers/code-of.ts";
import { compileCrooked, useDirectory } from "../helpers/crooked.ts";
import { identityService, useServer } from "../helpers/licensed-host.ts";
import { loadInChild, serviceFile } from "../helpers/loading.ts";
import { md5Twin, otherMd5Twin } from "../helpers/md5-twins.ts";

const attack = attacksOn("libraries and models");

/** The files of a bundle, exchanged before, while and after they are checked. */

const hash = (algorithm: string, bytes: Uint8Array) => createHash(algorithm).update(bytes).digest("hex");

/** Puts one and the other file under a name by turns, as fast as it can, until the test ends. */
function useSwapping(path: string, others: readonly string[], how: "rename" | "overwrite"): Promise<void> {
  const code = `
    const { workerData: { path, others, how }, parentPort } = require("node:worker_threads");
    const { copyFileSync, readFileSync, renameSync, writeFileSync } = require("node:fs");
    const contents = others.map((other) => readFileSync(other));
    parentPort.postMessage("begun");
    for (let turn = 0; ; turn++) {
      const content = contents[turn % contents.length];
      if (how === "overwrite") writeFileSync(path, content, { flag: "r+" });
      else {
        writeFileSync(path + ".new", content);
        renameSync(path + ".new", path);
      }
    }`;
  const worker = new Worker(code, { eval: true, workerData: { path, others, how } });
  onTestFinished(async () => {
    await worker.terminate();
  });
  return new Promise((resolve, reject) => {
    worker.once("message", () => resolve());
    worker.once("error", reject);
  });
}

const ROUNDS = 300;

/** Checks a library again and again while it is exchanged; says what came of it. */
async function checkWhileSwapping(how: "rename" | "overwrite"): Promise<Record<string, number>> {
  const directory = useDirectory();
  const path = compileCrooked(join(directory, "plugin.so"), { version: "signed" });
  const good = join(directory, "good.so");
  copyFileSync(path, good);
  // As long as the signed one, so that nothing but its content tells.
  const evil = compileCrooked(join(directory, "evil.so"), { version: "forged" });
  const expected = serviceFile(good);
  const signed = { ...expected, name: "plugin.so" };
  expect(readFileSync(evil).length).toBe(expected.size);
  await useSwapping(path, [evil, good], how);
  const outcomes: Record<string, number> = {};
  let last: ReturnType<typeof verifyFiles> | undefined;
  for (let round = 0; round < ROUNDS; round++) {
    const code = codeOf(() => {
      const verified = verifyFiles(directory, [signed], new SealedFiles());
      const sealed = readFileSync(`/proc/self/fd/${verified.inherited[0]!.fd}`);
      if (hash("sha256", sealed) !== expected.sha256) throw new Error("an evil library was sealed");
      last = verified;
    });
    outcomes[code] = (outcomes[code] ?? 0) + 1;
  }
  if (last !== undefined) expect(loadInChild(last.inherited).version).toBe("signed");
  return outcomes;
}

describe("attacks on libraries and models", () => {
  for (const how of ["rename", "overwrite"] as const) {
    test(`${how}s a library while it is checked, ${ROUNDS} times`, attack(`${how} in a loop`), async () => {
      const outcomes = await checkWhileSwapping(how);
      // Both must have been seen, or nothing was raced.
      expect(Object.keys(outcomes).sort()).toEqual(["LIBRARY_DIGEST_MISMATCH", "none"]);
      const { none: signed, LIBRARY_DIGEST_MISMATCH: refused } = outcomes;
      observed(`${signed} times the signed one, ${refused} times refused`);
    });
  }

  test("exchanges a model for a twin with the same size and MD5", attack("a published MD5 collision"), () => {
    const directory = useDirectory();
    const rest = Buffer.alloc(10_000, "weights");
    const library = serviceFile(compileCrooked(join(directory, "plugin.so")));
    writeFileSync(join(directory, "model.onnx"), Buffer.concat([md5Twin, rest]));
    const model = serviceFile(join(directory, "model.onnx"), "model");
    verifyFiles(directory, [library, model], new SealedFiles());

    const twin = Buffer.concat([otherMd5Twin, rest]);
    expect({ size: twin.length, md5: hash("md5", twin) }).toEqual({ size: model.size, md5: model.md5 });
    expect(hash("sha256", twin)).not.toBe(model.sha256);
    writeFileSync(join(directory, "model.onnx"), twin);
    const code = codeOf(() => verifyFiles(directory, [library, model], new SealedFiles()));
    expect(code).toBe("LIBRARY_DIGEST_MISMATCH");
    observed("told apart by SHA-256");
  });

  test("exchanges the library of a running service", attack("overwrite it while it serves"), async () => {
    const { data, server, token } = await useServer([identityService]);
    const client = useBareClient(server.address, token);
    const request = {
      model_name: "identity",
      inputs: [{ name: "input", datatype: "UINT8", shape: [1] }],
      raw_input_contents: [Buffer.from("x")],
    };
    await client.infer(request);
    const library = join(data.licenseDir, "files/identity/libsignet_identity.so");
    const bytes = readFileSync(library);
    bytes[bytes.length - 1]! ^= 1;
    rmSync(library);
    writeFileSync(library, bytes);
    const { code } = await failureOf(client.infer(request));
    expect(code).toBe("LIBRARY_CHANGED");
    observed("the service stops");
  });
});
