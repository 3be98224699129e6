import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { parseAst } from "vitest/node";
import { addBlock, HITS_NAME } from "./coverage.ts";

/**
 * Counts which blocks of the product run. Modules that are loaded from now on get a counter at the start of every
 * function, branch, loop body and case, written into their TypeScript before Node takes the types away. Their lines
 * keep their numbers.
 */

const root = join(import.meta.dirname, "..", "..");
const productFolders = ["src", "tools"].map((folder) => join(root, folder) + sep);
const MAX_WORD = 48;

/** What the instrumented modules compare with: their short strings and names of properties. */
export const words = new Set<string>();

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

export function instrumentProduct(): void {
  registerHooks({
    load(url, context, nextLoad) {
      const path = url.startsWith("file:") ? fileURLToPath(url) : "";
      if (!path.endsWith(".ts") || !productFolders.some((folder) => path.startsWith(folder))) {
        return nextLoad(url, context);
      }
      const source = instrument(readFileSync(path, "utf8"), !path.endsWith("errors.ts"));
      return { format: "module-typescript", source, shortCircuit: true };
    },
  });
}

/** @param hasWords whether its strings help to make inputs */
export function instrument(source: string, hasWords = false): string {
  const opened: { at: number; text: string }[] = [];
  const closed: { at: number; text: string }[] = [];
  const hit = () => `${HITS_NAME}[${addBlock()}]++`;
  const before = (at: number, text: string) => void opened.push({ at, text });
  const after = (at: number, text: string) => void closed.push({ at, text });

  const enterBlock = (node: Node) => {
    if (node.type === "BlockStatement") {
      before(node.start + 1, `${hit()};`);
      return () => undefined;
    }
    before(node.start, `{${hit()};`);
    return () => after(node.end, "}");
  };
  const enterExpression = (node: Node) => {
    before(node.start, `(${hit()},`);
    return () => after(node.end, ")");
  };
  /** What is to be counted below a node: each is entered right before it is walked and left right after. */
  const countedBelow = (node: Node): Map<unknown, (child: Node) => () => void> => {
    switch (node.type) {
      case "FunctionDeclaration":
      case "FunctionExpression":
        return new Map([[node.body, enterBlock]]);
      case "ArrowFunctionExpression":
        return new Map([[node.body, node.expression === true ? enterExpression : enterBlock]]);
      case "IfStatement":
        return new Map([
          [node.consequent, enterBlock],
          [node.alternate, enterBlock],
        ]);
      case "ForStatement":
      case "ForInStatement":
      case "ForOfStatement":
      case "WhileStatement":
      case "DoWhileStatement":
      case "CatchClause":
        return new Map([[node.body, enterBlock]]);
      case "ConditionalExpression":
        return new Map([
          [node.consequent, enterExpression],
          [node.alternate, enterExpression],
        ]);
      case "LogicalExpression":
        return new Map([[node.right, enterExpression]]);
      default:
        return new Map();
    }
  };
  const walk = (node: Node): void => {
    if (isTypeOnly(node)) return;
    if (hasWords) collectWords(node);
    if (node.type === "SwitchCase") {
      const [first] = node.consequent as Node[];
      before(first?.start ?? node.end, `${hit()};`);
    }
    const counted = countedBelow(node);
    for (const child of childrenOf(node)) {
      const leave = counted.get(child)?.(child);
      walk(child);
      leave?.();
      // A condition that does not hold is a branch as well.
      if (node.type === "IfStatement" && child === node.consequent && node.alternate === null) {
        after(child.end, `else{${hit()}}`);
      }
    }
  };
  walk(parseAst(source, { lang: "ts" }) as unknown as Node);
  return insert(source, closed, opened);
}

/**
 * At one place, what ends there comes before what begins; among those that begin the outer, among those that end the
 * inner.
 */
function insert(source: string, ...lists: { at: number; text: string }[][]): string {
  const all = lists.flat().sort((a, b) => a.at - b.at);
  let result = "";
  let from = 0;
  for (const { at, text } of all) {
    result += source.slice(from, at) + text;
    from = at;
  }
  return result + source.slice(from);
}

function isTypeOnly(node: Node): boolean {
  return /^TS(?!AsExpression|NonNullExpression|SatisfiesExpression)/.test(node.type) || node.importKind === "type";
}

function childrenOf(node: Node): Node[] {
  const children = Object.values(node).flat() as unknown[];
  return children.filter((child): child is Node => typeof child === "object" && child !== null && "type" in child);
}

function collectWords(node: Node): void {
  const word =
    node.type === "Literal"
      ? node.value
      : node.type === "Property" && (node.key as Node).type === "Identifier"
        ? (node.key as Node).name
        : undefined;
  if (typeof word === "string" && word.length > 0 && word.length <= MAX_WORD && word.split(" ").length < 4) {
    if (!word.startsWith(".") && !word.startsWith("node:")) words.add(word);
  }
}
