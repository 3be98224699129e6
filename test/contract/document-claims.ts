/** What a document claims that a test can look up: links, paths, tests, commands, codes. Takes any Markdown text. */

const folders = "\\.ci|bench|bin|clients|docs|examples|licenses|native|proto|src|test|tools";
const pathPattern = new RegExp(`^(?:${folders})(?:/[\\w.@*-]+)*/?$`);
const fileNamePattern = /^[\w.-]+\.(?:ts|sh|h|hpp|proto|map)$/;

interface Parts {
  /** Everything outside code blocks, each paragraph on one line. */
  readonly prose: string;
  /** The lines of code blocks, those that end in a backslash joined. */
  readonly codeLines: readonly string[];
}

function splitParts(text: string): Parts {
  const codeLines: string[] = [];
  const prose = text.replace(/^ *```.*\n([\s\S]*?)^ *```$/gm, (_, code: string) => {
    codeLines.push(...code.replace(/\\\n\s*/g, " ").split("\n"));
    return "";
  });
  return { prose: prose.replace(/([^\n|])\n(?![\n|])[ ]*/g, "$1 "), codeLines };
}

function codeSpans(prose: string): string[] {
  return [...prose.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);
}

/** The targets of inline links. */
export function readLinks(text: string): string[] {
  return [...splitParts(text).prose.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1]!);
}

/** What `#fragment` of a link may be, by GitHub's rule. */
export function headingAnchors(text: string): string[] {
  const headings = text.replace(/^```[\s\S]*?^```$/gm, "").matchAll(/^#+ (.*)$/gm);
  return [...headings].map((match) =>
    match[1]!
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );
}

/** Paths of this repository, with `*` where the text has it; in prose only what is set as code. */
export function readPaths(text: string): string[] {
  const { prose, codeLines } = splitParts(text);
  const words = [...codeSpans(prose), ...codeLines].flatMap((code) => code.split(/[\s"'=:,;()]+/));
  return words.filter((word) => word.includes("/") && pathPattern.test(word));
}

/** Names of source files without their folder. */
export function readFileNames(text: string): string[] {
  return codeSpans(splitParts(text).prose).filter((span) => fileNamePattern.test(span));
}

/** Tests by file and name, written as `file.test.ts` "name", "another name". */
export function readQuotedTests(text: string): { readonly file: string; readonly name: string }[] {
  const quotes = splitParts(text).prose.matchAll(/`([\w./-]+\.test\.ts)`((?:,? "[^"]+")+)/g);
  return [...quotes].flatMap(([, file, names]) =>
    [...names!.matchAll(/"([^"]+)"/g)].map((match) => ({ file: file!, name: match[1]! })),
  );
}

export interface NamedCommand {
  readonly program: "signet" | "signet-license";
  /** What follows the program; a quoted argument is one word. */
  readonly words: readonly string[];
}

/** Calls of our two programs: in prose as code that begins with one, in code blocks wherever one is started. */
export function readCommands(text: string): NamedCommand[] {
  const { prose, codeLines } = splitParts(text);
  const inProse = codeSpans(prose).flatMap((span) => [...span.matchAll(/^(?:bin\/)?(signet(?:-license)?) (.+)$/g)]);
  const inCode = codeLines.flatMap((line) => [
    ...line.replace(/(^|\s)#.*$/, "").matchAll(/(?:^(?:\$ )?|&& |\(|\bbin\/)(signet(?:-license)?)[ ]+([^|&;()]+)/g),
  ]);
  return [...inProse, ...inCode].map(([, program, rest]) => ({
    program: program as NamedCommand["program"],
    words: rest!.match(/"[^"]*"|'[^']*'|[^\s"']+/g) ?? [],
  }));
}

/** Words in capitals with an underscore, set as code: error codes and gRPC statuses, or variables of an environment. */
export function readCodes(text: string): string[] {
  return codeSpans(splitParts(text).prose).filter((span) => /^[A-Z]+(?:_[A-Z]+)+$/.test(span));
}

/** The text below a heading, up to the next of the same or a higher level. */
export function readSection(text: string, heading: string): string {
  const start = text.indexOf(`\n${heading}\n`);
  if (start < 0) throw new Error(`there is no heading ${heading}`);
  const level = /^#+/.exec(heading)![0].length;
  const rest = text.slice(start + heading.length + 2);
  const end = rest.search(new RegExp(`^#{1,${level}} `, "m"));
  return end < 0 ? rest : rest.slice(0, end);
}

/** The first cell of each row of the tables in a text, without its code marks. */
export function readFirstCells(text: string): string[] {
  return [...text.matchAll(/^\| `([^`|]+)` \|/gm)].map((match) => match[1]!);
}
