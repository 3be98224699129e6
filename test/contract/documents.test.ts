import { spawnSync } from "node:child_process";
import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { describe, expect, test } from "vitest";
import { createProgram as createSignet } from "../../src/cli/main.ts";
import { errorCatalogue } from "../../src/errors.ts";
import { createProgram as createSignetLicense } from "../../tools/license/main.ts";
import {
  headingAnchors,
  type NamedCommand,
  readCodes,
  readCommands,
  readFileNames,
  readFirstCells,
  readLinks,
  readPaths,
  readQuotedTests,
  readSection,
} from "./document-claims.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");

const documents = globSync(["*.md", "{clients,docs,examples,licenses,native,test}/**/*.md"], { cwd: root }).map(
  (path) => ({ path, text: read(path) }),
);
const sources = globSync(["{bench,clients,native,proto,src,test,tools}/**/*.*"], { cwd: root });

/** Every claim of every document that does not hold, with the document's path before it. */
function findWrong<Claim>(claims: (text: string) => Claim[], isWrong: (claim: Claim, path: string) => boolean) {
  return documents.flatMap(({ path, text }) =>
    claims(text)
      .filter((claim) => isWrong(claim, path))
      .map((claim) => `${path}: ${JSON.stringify(claim)}`),
  );
}

describe("the documents", () => {
  test("are there", () => {
    expect(documents.map(({ path }) => path)).toEqual(
      expect.arrayContaining(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]),
    );
  });

  test("link to files and headings that exist", () => {
    const wrong = findWrong(readLinks, (link, path) => {
      if (/^https?:/.test(link)) return false;
      const [file = "", anchor] = link.split("#");
      const target = file === "" ? path : relative(root, join(root, dirname(path), file));
      if (!existsSync(join(root, target))) return true;
      return anchor !== undefined && !headingAnchors(read(target)).includes(anchor);
    });
    expect(wrong).toEqual([]);
  });

  test("name paths that exist, from the root or from their own folder", () => {
    const wrong = findWrong(readPaths, (named, path) => {
      const places = [root, join(root, dirname(path))];
      return !places.some((place) => globSync(named, { cwd: place }).length > 0 || existsSync(join(place, named)));
    });
    expect(wrong).toEqual([]);
  });

  test("name source files that exist", () => {
    const names = new Set(sources.map((path) => basename(path)));
    expect(findWrong(readFileNames, (name) => !names.has(name))).toEqual([]);
  });

  test("quote tests by names that they have", () => {
    const wrong = findWrong(readQuotedTests, ({ file, name }) => {
      return !existsSync(join(root, file)) || !read(file).replaceAll('\\"', '"').includes(name);
    });
    expect(wrong).toEqual([]);
  });

  test("name commands and options that the programs have", () => {
    const programs = { signet: createSignet(), "signet-license": createSignetLicense() };
    expect(findWrong(readCommands, ({ program, words }) => !isCommand(programs[program], words))).toEqual([]);
  });

  test("name codes that exist", () => {
    const codes = [
      ...Object.keys(errorCatalogue),
      ...read("clients/processing/errors.ts").match(/[A-Z]+(?:_[A-Z]+)+/g)!,
    ];
    const statuses = Object.values(errorCatalogue).map(({ status }) => status as string);
    // Constants of the system are written in capitals too; what begins like a code of ours is meant as one.
    const firstWords = new Set(codes.map((code) => code.split("_")[0]!));
    const wrong = findWrong(readCodes, (code) => {
      return firstWords.has(code.split("_")[0]!) && !codes.includes(code) && !statuses.includes(code);
    });
    expect(wrong).toEqual([]);
  });
});

/** Whether the words lead to a command that takes the options among them. */
function isCommand(program: Command, words: NamedCommand["words"]): boolean {
  let command = program;
  const seen = [program];
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!;
    if (word === "…") return true;
    if (word.startsWith("-") && word !== "-") {
      if (["--help", "--version"].includes(word)) continue;
      const option = seen.flatMap((each) => each.options).find(({ long, short }) => long === word || short === word);
      if (option === undefined) return false;
      if (option.required || option.optional) index++;
    } else if (command.commands.length > 0) {
      const next = command.commands.find((each) => each.name() === word);
      if (next === undefined) return false;
      command = next;
      seen.push(next);
    }
  }
  return true;
}

describe("ARCHITECTURE.md", () => {
  const text = read("ARCHITECTURE.md");

  test("has a section for every part of src", () => {
    const parts = readdirSync(join(root, "src")).filter((part) => !part.endsWith(".test.ts"));
    expect(parts.filter((part) => !text.includes(`\n### \`src/${part}\`\n`))).toEqual([]);
  });

  test("lists the steps of first authorization that the code takes, in its order", () => {
    const listed = [...readSection(text, "## The steps of first authorization").matchAll(/^\|[^|]*\| `(\w+)` \|/gm)];
    const code = read("src/license/authorize.ts");
    const taken = [...code.matchAll(/[ (](\w+)\(/g)].map((match) => match[1]!).filter((name) => isStep(name));
    expect(listed.map((match) => match[1])).toEqual([...taken, "openHostLedger", "verifyFiles"]);
  });

  test("quotes a test for every invariant", () => {
    const invariants = readSection(text, "## Invariants")
      .split(/^\d+\. /m)
      .slice(1);
    expect(invariants.length).toBeGreaterThanOrEqual(7);
    expect(invariants.filter((each) => readQuotedTests(each).length === 0 && !/The same test/.test(each))).toEqual([]);
  });
});

/** Of the functions that authorizeLicense calls, those that may refuse. */
function isStep(name: string): boolean {
  return /^(?:verify|parse|unwrap|decrypt)[A-Z]/.test(name) && name !== "verifySignedLicense";
}

test("the README has every folder of the repository", () => {
  const listed = readFirstCells(readSection(read("README.md"), "## What is where"));
  const tracked = trackedFolders();
  // Without git nobody knows which folders are the user's own; then at least those that are listed are there.
  if (tracked === null) expect(listed.filter((name) => !existsSync(join(root, name)))).toEqual([]);
  else expect(listed.toSorted()).toEqual(tracked);
});

/** The folders that git keeps, for what users make in their clone is theirs. null outside a repository. */
function trackedFolders(): string[] | null {
  // Of this very folder: an unpacked archive may lie inside another repository.
  if (!existsSync(join(root, ".git"))) return null;
  const { status, stdout } = spawnSync("git", ["ls-files", "-z"], { cwd: root, encoding: "utf8" });
  if (status !== 0) return null;
  const folders = stdout.split("\0").filter((path) => path.includes("/") && !path.startsWith("."));
  return [...new Set(folders.map((path) => `${path.split("/")[0]}/`))].toSorted();
}

describe("docs/decisions", () => {
  const files = readdirSync(join(root, "docs", "decisions")).filter((name) => /^\d/.test(name));

  test("lists every record, and each has its parts", () => {
    const list = readLinks(read("docs/decisions/README.md")).filter((link) => /^\d/.test(link));
    expect(list).toEqual(files.toSorted());
    const parts = [/^# \d{4}: /, /^Status: /m, /^## Context$/m, /^## Decision$/m, /^## Consequences$/m, /^Bad:$/m];
    const unfinished = files.filter((name) => !parts.every((part) => part.test(read(`docs/decisions/${name}`))));
    expect(unfinished).toEqual([]);
  });

  test("numbers them one after another", () => {
    expect(files.toSorted().map((name) => Number(name.slice(0, 4)))).toEqual(files.map((_, index) => index + 1));
  });
});

test("docs/reference/protocol.md and the README have the calls of the proto file", () => {
  const offered = [...read("proto/inference.proto").matchAll(/^ {2}rpc (\w+)\(/gm)].map((match) => match[1]!);
  expect(readFirstCells(readSection(read("docs/reference/protocol.md"), "## Calls")).toSorted()).toEqual(
    offered.toSorted(),
  );
  expect(offered.filter((name) => !read("README.md").includes(`\`${name}\``))).toEqual([]);
});

describe("the reader of claims", () => {
  test("finds links and the anchors of headings", () => {
    expect(readLinks("See [a](b.md#c), not\n```\n[x](y)\n```\nand [d](https://e).")).toEqual(["b.md#c", "https://e"]);
    expect(headingAnchors("# A page\n## The `src/x` part, twice")).toEqual(["a-page", "the-srcx-part-twice"]);
  });

  test("finds paths in code, and none in words", () => {
    expect(
      readPaths("`src/a.ts`, src/b.ts and `node tools/c.ts`\n```sh\nrun examples/*.png --x=docs/d.md\n```"),
    ).toEqual(["src/a.ts", "tools/c.ts", "examples/*.png", "docs/d.md"]);
    expect(readFileNames("`verify.ts` and `services.yaml`")).toEqual(["verify.ts"]);
  });

  test("finds tests whose names run over a line's end", () => {
    expect(readQuotedTests('`a.test.ts` "one\n   two", "three" and "four"')).toEqual([
      { file: "a.test.ts", name: "one two" },
      { file: "a.test.ts", name: "three" },
    ]);
  });

  test("finds commands in prose and in blocks, over continued lines", () => {
    expect(
      readCommands(
        "Run `signet access add`, or the `signet`.\n```sh\nX=$(bin/signet-license a \\\n  --b 'c d')\nsignet x && signet y\n```",
      ),
    ).toEqual([
      { program: "signet", words: ["access", "add"] },
      { program: "signet-license", words: ["a", "--b", "'c d'"] },
      { program: "signet", words: ["x"] },
      { program: "signet", words: ["y"] },
    ]);
    expect(readCodes("`A_CODE`, `word` and B_CODE")).toEqual(["A_CODE"]);
  });

  test("knows a command from an invented one", () => {
    const program = createSignet();
    expect(isCommand(program, ["access", "add", "--name", "x", "--json"])).toBe(true);
    expect(isCommand(program, ["access", "give"])).toBe(false);
    expect(isCommand(program, ["access", "add", "--nome"])).toBe(false);
  });
});
