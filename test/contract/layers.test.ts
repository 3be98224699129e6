import { globSync, readFileSync } from "node:fs";
import { sep } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { findBreaches, readSpecifiers } from "./import-rules.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

function readTree() {
  const paths = globSync(["src/**/*.ts", "tools/**/*.ts", "clients/**/*.ts"], { cwd: root });
  return paths.map((path) => ({ path: path.split(sep).join("/"), text: readFileSync(`${root}${path}`, "utf8") }));
}

describe("the tree", () => {
  test("imports one way, through index.ts, and each dangerous package in its one place", () => {
    const tree = readTree();
    expect(tree.length).toBeGreaterThan(40);
    expect(findBreaches(tree)).toEqual([]);
  });

  test("has an index.ts in every top-level folder of src", () => {
    const paths = readTree().map(({ path }) => path);
    const folders = new Set(paths.filter((path) => /^src\/[^/]+\//.test(path)).map((path) => path.split("/")[1]));
    expect([...folders].filter((folder) => !paths.includes(`src/${folder}/index.ts`))).toEqual([]);
  });
});

describe("the checker", () => {
  test.each([
    ["an import upward", "src/license/verify.ts", `import { x } from "../engine/index.ts";`],
    ["a type import upward", "src/tensor/x.ts", `import type { X } from "../config/index.ts";`],
    ["a re-export upward", "src/plugin/index.ts", `export { x } from "../service/index.ts";`],
    ["a dynamic import upward", "src/engine/x.ts", `const { x } = await import("../grpc/index.ts");`],
    ["an import spread over lines", "src/engine/x.ts", `import {\n  a,\n  b,\n} from\n  "../server.ts";`],
    [
      "a worker of another part",
      "src/license/x.ts",
      `new Worker(new URL("../engine/host/worker.ts", import.meta.url));`,
    ],
    ["a way past a door", "src/grpc/x.ts", `import { x } from "../service/access.ts";`],
    ["a way past a door by a detour", "src/grpc/x.ts", `import { x } from "../grpc/../service/access.ts";`],
    ["the edges importing each other", "src/grpc/x.ts", `import { x } from "../http/index.ts";`],
    ["src importing tools", "src/cli/x.ts", `import { x } from "../../tools/license/index.ts";`],
    ["tools going past a door", "tools/license/x.ts", `import { x } from "../../src/license/verify.ts";`],
    [
      "src importing clients outside the cli",
      "src/engine/x.ts",
      `import { x } from "../../clients/processing/index.ts";`,
    ],
    ["clients importing src", "clients/processing/x.ts", `import { x } from "../../src/tensor/index.ts";`],
    ["a folder nobody placed", "src/utils/x.ts", `import { x } from "../tensor/index.ts";`],
    ["koffi outside the plugin folder", "src/engine/x.ts", `import koffi from "koffi";`],
    ["koffi by require", "src/engine/x.ts", `createRequire(import.meta.url)("koffi");`],
    ["a child process outside the engine", "src/cli/x.ts", `import { spawn } from "child_process";`],
    ["a child process at the vendor's desk", "tools/license/x.ts", `import { spawn } from "node:child_process";`],
    ["a builtin by its other door", "src/cli/x.ts", `process.getBuiltinModule("node:child_process");`],
    ["node-forge in the server", "src/license/x.ts", `import forge from "node-forge";`],
    ["node-forge by a deep path", "src/license/x.ts", `import pki from "node-forge/lib/pki.js";`],
    ["systeminformation outside the license", "src/telemetry/x.ts", `import si from "systeminformation";`],
    ["node:http2 anywhere", "src/grpc/x.ts", `import http2 from "node:http2";`],
    ["an import that is computed", "src/engine/x.ts", "await import(name);"],
    ["a require to be called later", "src/engine/x.ts", "const load = createRequire(import.meta.url);"],
    ["a plugin loaded outside a service host", "src/engine/x.ts", `import { loadPlugin } from "../plugin/index.ts";`],
    ["a private key read elsewhere", "tools/license/issue.ts", `import { createPrivateKey } from "node:crypto";`],
  ])("finds %s", (_, path, text) => {
    expect(findBreaches([{ path, text }])).toHaveLength(1);
  });

  test.each([
    [
      "downward imports",
      "src/service/x.ts",
      `import { x } from "../engine/index.ts";\nimport { y } from "../errors.ts";`,
    ],
    ["imports within a folder", "src/engine/host/main.ts", `import { x } from "../protocol.ts";`],
    [
      "the cli importing client-side processing",
      "src/cli/x.ts",
      `import { x } from "../../clients/processing/index.ts";`,
    ],
    ["tools importing a door", "tools/license/x.ts", `import { x } from "../../src/license/index.ts";`],
    ["the composition root", "src/server.ts", `import { x } from "./grpc/index.ts";`],
    ["comments", "src/tensor/x.ts", `// import { x } from "../engine/index.ts"\n/* from "koffi" */`],
    ["tests behind a door", "src/grpc/x.test.ts", `import { x } from "../service/access.ts";`],
    ["a service host loading a plugin", "src/engine/host/x.ts", `import { loadPlugin } from "../../plugin/index.ts";`],
    ["an owner's package", "src/plugin/x.ts", `import koffi from "koffi";`],
  ])("accepts %s", (_, path, text) => {
    expect(findBreaches([{ path, text }])).toEqual([]);
  });

  test("is not led astray by a comment sign inside a string", () => {
    expect(
      findBreaches([{ path: "src/tensor/x.ts", text: `const a = "/*"; import k from "koffi"; const b = "*/";` }]),
    ).toHaveLength(1);
  });

  test("reads bare, named, side-effect and computed forms", () => {
    expect(
      readSpecifiers(`import "a"; import b from 'b'; export * from "c"; import("d"); createRequire(u)('e');`).sort(),
    ).toEqual(["a", "b", "c", "d", "e"]);
  });
});
