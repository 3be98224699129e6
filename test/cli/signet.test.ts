import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { identityService, useServer } from "../helpers/licensed-host.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const signet = join(root, "bin/signet");

function useDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "signet cli "));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}

function run(program: string, args: string[], env: Record<string, string> = {}) {
  const { stdout, stderr, status } = spawnSync(program, args, {
    encoding: "utf8",
    env: { PATH: process.env.PATH, ...env },
  });
  return { out: stdout, err: stderr, exit: status };
}

describe("signet access", () => {
  test("gives a token once, lists it without its secret, and takes it away", () => {
    const data = useDirectory();
    const added = run(signet, [
      "access",
      "add",
      "--data",
      data,
      "--name",
      "web",
      "--service",
      "ocr",
      "asr",
      "--expires",
      "2999-12-31",
    ]);
    expect(added).toMatchObject({ exit: 0, out: expect.stringMatching(/^sgn_[a-z0-9]{8}_[A-Za-z0-9_-]{43}\n$/) });
    const token = added.out.trim();

    const listed = run(signet, ["--data", data, "access", "list", "--json"]);
    const [record] = JSON.parse(listed.out);
    expect(record).toMatchObject({
      name: "web",
      role: "client",
      services: ["ocr", "asr"],
      expires: "2999-12-31T00:00:00.000Z",
    });
    expect(token.startsWith(`sgn_${record.id}_`)).toBe(true);
    expect(listed.out + listed.err + run(signet, ["--data", data, "access", "list"]).out).not.toContain(
      token.slice(-43),
    );

    expect(run(signet, ["access", "remove", record.id], { SIGNET_DATA: data })).toMatchObject({ exit: 0, out: "" });
    expect(JSON.parse(run(signet, ["access", "list", "--json", "--data", data]).out)).toEqual([]);
    expect(run(signet, ["access", "remove", record.id, "--data", data])).toMatchObject({ exit: 2, out: "" });
  });

  test.each([
    [["access", "add"]],
    [["access", "add", "--name", "a b"]],
    [["access", "add", "--name", "x", "--role", "root"]],
    [["access", "add", "--name", "x", "--expires", "soon"]],
    [["access", "add", "--name", "x", "--expires", "2020-01-01"]],
  ])("%j is wrong usage, in one line", (args) => {
    const result = run(signet, args, { SIGNET_DATA: useDirectory() });
    expect(result).toMatchObject({ exit: 2, out: "", err: expect.stringMatching(/^signet: USAGE: [^\n]+\n$/) });
  });
});

describe("signet infer", () => {
  test("says nothing of what is in a file that holds no token", () => {
    const file = join(useDirectory(), "secrets");
    writeFileSync(file, "hunter2 and more\n");
    const { err, exit } = run(signet, ["infer", "identity", "x.png", "--token-file", file]);
    expect(exit).toBe(2);
    expect(err).toContain(`signet: USAGE: ${file}: `);
    expect(err).not.toContain("hunter2");
  });

  test.each([
    ["a CA file that is not there", ["--ca", "absent.pem"], {}, "FILE_UNREADABLE"],
    ["a token file with more than a token", ["--token-file", "README.md"], {}, "USAGE"],
    ["a token file that never ends", ["--token-file", "/dev/zero"], {}, "USAGE"],
    ["a token file that is not there", ["--token-file", "absent"], {}, "FILE_UNREADABLE"],
    ["a token file that is a directory", ["--token-file", "."], {}, "FILE_UNREADABLE"],
    ["a CA file without certificates", ["--ca", "README.md"], {}, "USAGE"],
    ["no address", ["--server", ""], {}, "USAGE"],
    ["a URL for an address", ["--server", "http://127.0.0.1:1"], {}, "USAGE"],
    ["a token that no header can carry", ["--token", "two\nlines"], {}, "USAGE"],
    ["data that is no list", ["--raw"], { data: {} }, "USAGE"],
    ["bytes that are no text", ["--raw"], { base64: 5 }, "USAGE"],
    ["a shape of words", ["--raw"], { shape: ["many"] }, "USAGE"],
    ["too few elements", ["--raw"], { data: [1] }, "REQUEST_MALFORMED"],
  ])("refuses %s in words, before it calls", (_, options, tensor, code) => {
    const file = join(useDirectory(), "request.json");
    writeFileSync(file, JSON.stringify({ inputs: [{ name: "x", datatype: "FP32", shape: [2], ...tensor }] }));
    const { out, err } = run(signet, ["infer", "identity", file, "--server", "127.0.0.1:1", ...options]);
    expect(err).toContain(`signet: ${code}: `);
    expect(out).toBe("");
  });
});

test("signet infer names the picture at which the server refused", async () => {
  const limits = { expires: "2020-01-01" };
  const parameters = { processing: "text-line", characters: "a\nb" };
  const { server, token } = await useServer([{ ...identityService, parameters, limits }]);
  const pictures = ["plain-sans.png", "large.png"].map((name) => join(root, "examples/text-lines", name));
  const args = ["infer", "identity", ...pictures, "--server", server.address];
  // Not spawnSync: the server is in this process.
  const child = spawn(signet, args, { env: { PATH: process.env.PATH, SIGNET_TOKEN: token } });
  const [err, [exit]] = await Promise.all([text(child.stderr), once(child, "close")]);
  expect({ exit, err }).toEqual({
    exit: 3,
    err: expect.stringMatching(/^signet: LICENSE_EXPIRED: \S*plain-sans\.png: identity/),
  });
});

describe("bin/signet", () => {
  /** A copy of the launcher beside a Node that only says how it was called. */
  function useLauncher() {
    const directory = useDirectory();
    for (const folder of ["bin", "node_modules/.bin", "elsewhere/deep"])
      mkdirSync(join(directory, folder), { recursive: true });
    copyFileSync(signet, join(directory, "bin/signet"));
    chmodSync(join(directory, "bin/signet"), 0o755);
    writeFileSync(join(directory, "node_modules/.bin/node"), '#!/bin/sh\nprintf "[%s]" "$@"\n', { mode: 0o755 });
    return directory;
  }

  test("finds the clone through links to links, and hands arguments on as they are", () => {
    const directory = useLauncher();
    symlinkSync("../../bin/signet", join(directory, "elsewhere/deep/one"));
    symlinkSync(join(directory, "elsewhere/deep/one"), join(directory, "elsewhere/two"));
    const result = run(join(directory, "elsewhere/two"), ["a b", "", "*"]);
    expect(result.out).toBe(`[--disable-sigusr1][${directory}/src/cli/main.ts][a b][][*]`);
  });

  test("says what to do where the clone was never set up", () => {
    const directory = useLauncher();
    rmSync(join(directory, "node_modules"), { recursive: true });
    const result = run(join(directory, "bin/signet"), ["--version"]);
    expect(result).toMatchObject({ exit: 2, out: "", err: expect.stringContaining("npm run setup") });
  });

  test("does not mind a reader that goes away", async () => {
    const child = spawn(signet, ["--help"], { stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.destroy(); // long before the program has started
    child.stderr.setEncoding("utf8");
    let said = "";
    child.stderr.on("data", (text: string) => {
      said += text;
    });
    const [exit] = await once(child, "close");
    expect({ said, exit }).toEqual({ said: "", exit: 0 });
  });
});
