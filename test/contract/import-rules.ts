import { posix } from "node:path";

/**
 * The one-way rule of ARCHITECTURE.md, as data, and its checker. It reads import statements and nothing
 * else, so it takes made-up sources as well as the tree.
 */

export interface SourceFile {
  /** Relative to the repository, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

/** All that the server is put together from; not http2, which is for gRPC alone. */
const parts = [
  ...["errors.ts", "clock", "tensor", "telemetry", "config", "license", "plugin", "engine"],
  ...["audit", "certs", "store", "artifacts", "logs", "service", "monitor", "listener", "metrics", "grpc", "http"],
];

/** What each part of src/ may import. A part is a top-level folder, or a file beside them. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  "error-catalogue.ts": [],
  "errors.ts": ["error-catalogue.ts"],
  clock: [],
  http2: ["clock"],
  tensor: ["errors.ts"],
  telemetry: ["errors.ts"],
  config: ["errors.ts", "telemetry"],
  license: ["errors.ts", "tensor", "telemetry", "config"],
  plugin: ["errors.ts", "tensor", "telemetry", "config", "license"],
  certs: ["errors.ts", "license"],
  audit: ["errors.ts", "tensor", "telemetry", "config", "license"],
  engine: ["errors.ts", "clock", "tensor", "telemetry", "config", "license", "plugin", "store"],
  store: ["errors.ts", "telemetry", "config"],
  artifacts: ["errors.ts", "telemetry", "config"],
  logs: ["telemetry", "config"],
  service: [
    ...["errors.ts", "tensor", "telemetry", "config", "license", "plugin", "engine", "audit", "store", "artifacts"],
  ],
  monitor: ["errors.ts", "telemetry", "license", "engine", "logs", "service"],
  listener: ["errors.ts", "telemetry", "config", "audit"],
  metrics: [
    ...["errors.ts", "telemetry", "config", "license", "engine", "logs", "audit", "listener", "service", "monitor"],
  ],
  grpc: [
    ...["errors.ts", "http2", "tensor", "telemetry", "config", "license", "plugin", "engine", "audit", "listener"],
    ...["store", "service", "logs", "monitor"],
  ],
  http: [
    ...["errors.ts", "tensor", "telemetry", "config", "license", "plugin", "engine", "audit", "listener", "service"],
    "metrics",
  ],
  "server.ts": parts,
  cli: [...parts, "server.ts"],
};

/** Folders that alone may import a package; an empty list means nobody. */
const packageOwners: Readonly<Record<string, readonly string[]>> = {
  koffi: ["src/plugin/"],
  piscina: ["src/engine/"],
  pg: ["src/store/postgres/", "bench/jobs-store.ts"],
  sqlite: ["src/store/sqlite/"],
  "@aws-sdk/client-s3": ["src/artifacts/"],
  child_process: ["src/engine/", "tools/dev/", "tools/license/external-signer.ts"],
  "node-forge": ["src/certs/", "tools/license/"],
  systeminformation: ["src/license/"],
  http2: ["src/grpc/node-transport-server.ts", "src/http2/foreign-stream.ts"],
};

/** Names in the text that only these files and folders may use. */
const wordOwners: readonly { readonly word: RegExp; readonly what: string; readonly owners: readonly string[] }[] = [
  {
    word: /\b(createPrivateKey|privateKeyFromPem|privateKeyFromAsn1|decryptPrivateKeyInfo|decryptRsaPrivateKey)\b/,
    what: "reads a private key",
    owners: [
      ...["tools/license/signing-key.ts", "src/license/host-key.ts", "src/certs/tls-directory.ts"],
      "src/listener/key-pair.ts",
    ],
  },
  {
    word: /\bloadPlugin\b/,
    what: "loads a plugin",
    owners: ["src/plugin/library.ts", "src/plugin/index.ts", "src/engine/host/"],
  },
];

/** Every breach as `path: words`; none means that the sources keep the rules. */
export function findBreaches(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) => {
    if (isTestFile(file.path)) return [];
    const code = stripComments(file.text);
    return [...importBreaches(file.path, code), ...wordBreaches(file.path, code)].map(
      (words) => `${file.path}: ${words}`,
    );
  });
}

/** Tests and what serves only them may look behind every door. */
function isTestFile(path: string): boolean {
  return path.startsWith("test/") || /\.(test|fixture|conformance)\.ts$/.test(path) || /kill-program\.ts$/.test(path);
}

function wordBreaches(path: string, code: string): string[] {
  return wordOwners
    .filter(({ word, owners }) => word.test(code) && !owners.some((owner) => isWithin(path, owner)))
    .map(({ what, owners }) => `${what}, which only ${owners.join(" and ")} may`);
}

function isWithin(path: string, owner: string): boolean {
  return owner.endsWith("/") ? path.startsWith(owner) : path === owner;
}

function importBreaches(path: string, code: string): string[] {
  const breaches: string[] = [];
  // A name that is computed could be any package; a require kept in a variable could be called with any.
  const isOpen = /\bimport\s*\(\s*(?!["'\s])/.test(code) || /\bcreateRequire\s*\((?![^)]*\)\s*\(\s*["'])/.test(code);
  if (isOpen) breaches.push("imports something that is not written out");
  for (const specifier of readSpecifiers(code)) {
    const breach = specifier.startsWith(".")
      ? relativeBreach(path, posix.normalize(posix.join(posix.dirname(path), specifier)))
      : packageBreach(path, specifier);
    if (breach !== undefined) breaches.push(breach);
  }
  return breaches;
}

function packageBreach(path: string, specifier: string): string | undefined {
  const name = specifier.replace(/^node:/, "");
  const owners = Object.entries(packageOwners).find(([owned]) => name === owned || name.startsWith(`${owned}/`))?.[1];
  if (owners === undefined || owners.some((owner) => path.startsWith(owner))) return undefined;
  return `imports ${specifier}, which only ${owners.join(", ") || "nobody"} may`;
}

function relativeBreach(path: string, target: string): string | undefined {
  const from = partOf(path);
  const to = partOf(target);
  if (from.top === to.top && from.part === to.part) return undefined;
  if (from.top === "src" && to.top === "src") {
    const allowed = mayImport[from.part];
    if (allowed === undefined) return `is in ${from.part}, which has no place in the order of src/`;
    if (!allowed.includes(to.part)) return `imports ${to.part}, which is not below ${from.part}`;
    return doorBreach(target, to);
  }
  if (from.top === "src" && to.top === "clients" && from.part === "cli") return doorBreach(target, to);
  if (from.top === "src") return `imports ${target}; src/ imports only src/`;
  if (to.top === "src") {
    return from.top === "clients" ? `imports ${target}; clients/ stands alone` : doorBreach(target, to);
  }
  return from.top === to.top || to.top === "clients"
    ? doorBreach(target, to)
    : `imports ${target}, another program's part`;
}

/** Folders are entered by their index.ts; files beside the folders have no door. */
function doorBreach(target: string, { top, part }: Part): string | undefined {
  if (part.endsWith(".ts") || target === `${top}/${part}/index.ts`) return undefined;
  return `imports ${target} past ${top}/${part}/index.ts`;
}

interface Part {
  readonly top: string;
  readonly part: string;
}

function partOf(path: string): Part {
  const [top = "", part = ""] = path.split("/");
  return { top, part };
}

/** What is imported, re-exported, required, or named as a worker's or child's module. */
export function readSpecifiers(code: string): string[] {
  const patterns = [
    /\bfrom\s*["']([^"']+)["']/g,
    /\bimport\s*["']([^"']+)["']/g,
    /\b(?:import|getBuiltinModule)\s*\(\s*["']([^"']+)["']/g,
    /\bcreateRequire\s*\([^)]*\)\s*\(\s*["']([^"']+)["']/g,
    /\bnew\s+URL\s*\(\s*["'](\.[^"']+\.ts)["']\s*,\s*import\.meta\.url/g,
  ];
  return patterns.flatMap((pattern) => [...code.matchAll(pattern)].map((match) => match[1]!));
}

/** Comments may speak of anything. Strings are kept, for specifiers are strings. */
function stripComments(text: string): string {
  return text.replace(
    /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g,
    (_, kept?: string) => kept ?? "",
  );
}
