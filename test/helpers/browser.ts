import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { onTestFinished } from "vitest";

const root = join(import.meta.dirname, "..", "..");

/** Where distributions put it. */
const places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** A Chromium that runs; Ubuntu's package is a word to get one elsewhere. */
export const chromium = places.find((place) => spawnSync(place, ["--version"]).status === 0);

const types: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".json": "application/json",
};

/** Where a page's imports lie in node_modules, for browsers, which know no packages. */
const packages = ["@connectrpc/connect-web", "@connectrpc/connect", "@bufbuild/protobuf"];
const imports = Object.fromEntries(
  packages.flatMap((name) => [
    [name, `/node_modules/${name}/dist/esm/index.js`],
    ...["codegenv2", "reflect", "wire", "wkt", "protocol", "protocol-connect", "protocol-grpc-web"].map((part) => [
      `${name}/${part}`,
      `/node_modules/${name}/dist/esm/${part}/index.js`,
    ]),
  ]),
);

export interface PageSite {
  /** Of the pages, which is none of Signet's. */
  readonly origin: string;
  /** The same site under another name, and so another origin. */
  readonly strangerOrigin: string;
  /** What the page told under a name, once it does. Rejects where the page broke. */
  told(name: string): Promise<unknown>;
}

/** A web server with one page: a script of the clone, and the facts that it asks for. */
export async function usePageSite(script: string, facts: (origin: string) => object): Promise<PageSite> {
  const told = new Map<string, PromiseWithResolvers<unknown>>();
  const place = (name: string) => {
    if (!told.has(name)) told.set(name, Promise.withResolvers());
    return told.get(name)!;
  };
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const { pathname } = new URL(request.url!, "http://page");
    if (pathname.startsWith("/told/")) {
      let text = "";
      for await (const chunk of request) text += chunk;
      place(pathname.slice("/told/".length)).resolve(JSON.parse(text));
      response.end();
      return;
    }
    const file = normalize(join(root, pathname));
    const content = (() => {
      if (pathname === "/") return pageOf(script);
      if (pathname === "/facts.json") return JSON.stringify(facts(origin));
      return existsSync(file) ? readFileSync(file) : undefined;
    })();
    const type = types[extname(pathname)] ?? "text/html";
    response.writeHead(content === undefined ? 404 : 200, { "content-type": type }).end(content);
  };
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const origin = `http://127.0.0.1:${port}`;
  const broken = place("failure").promise.then((words) => Promise.reject(new Error(`the page broke: ${words}`)));
  broken.catch(() => undefined);
  const strangerOrigin = `http://localhost:${port}`;
  return { origin, strangerOrigin, told: (name) => Promise.race([place(name).promise, broken]) };
}

function pageOf(script: string): string {
  return `<!doctype html>
<meta charset="utf-8"><title>Signet from a browser</title>
<style>body { font: 16px sans-serif; margin: 2em } li { margin: 0.3em 0 }</style>
<h1>Signet from a browser</h1><ol id="steps"></ol>
<script>
const fail = (event) => fetch("/told/failure", { method: "POST", body: JSON.stringify(String(event.reason ?? event.message)) });
addEventListener("error", fail);
addEventListener("unhandledrejection", fail);
</script>
<script type="importmap">${JSON.stringify({ imports })}</script>
<script type="module" src="${script}"></script>`;
}

/** Opens a page in a browser of its own, which ends with the test. */
export function useBrowser(url: string): void {
  const profile = mkdtempSync(join(tmpdir(), "signet-browser-"));
  const flags = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--enable-logging=stderr",
  ];
  const child = spawn(chromium!, [...flags, `--user-data-dir=${profile}`, url], {
    stdio: "ignore",
    detached: true,
  });
  onTestFinished(async () => {
    // It has processes of its own, which are in its group.
    if (child.exitCode === null) process.kill(-child.pid!, "SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await new Promise((resolve) => child.on("exit", resolve));
    rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  });
}
