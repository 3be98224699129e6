import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { SignetError } from "../errors.ts";
import {
  exportedSymbols,
  type FileRole,
  loadOrder,
  PLUGIN_SYMBOL,
  type PluginFacts,
  readElf,
  readSealed,
  type SealedFile,
  SealedFiles,
  type Spoiling,
} from "../plugin/index.ts";
import { type CheckOutcome, runCheckProcess } from "./check-process.ts";
import type { Finding, Scenario } from "./check-protocol.ts";

export interface PluginCheckOptions {
  readonly library: string;
  /** In any order. */
  readonly dependencies: readonly string[];
  readonly models: readonly string[];
  readonly config: Readonly<Record<string, unknown>>;
  /** How long one call may take before it counts as hanging. Default 60,000. */
  readonly tryTimeoutMs?: number;
}

interface CheckedFile {
  readonly role: FileRole;
  readonly sealed: SealedFile;
}

const MAX_NAMED_SYMBOLS = 3;

/**
 * Walks a library through the plugin contract, each part of it in a process of its own, and returns what was
 * found. Nothing a library does ends the check; only what cannot be found at all throws.
 * @throws FILE_UNREADABLE for a path that leads nowhere
 */
export async function checkPlugin(options: PluginCheckOptions): Promise<Finding[]> {
  const check = new PluginCheck(options);
  try {
    await check.perform();
    return check.findings;
  } finally {
    check.close();
  }
}

class PluginCheck {
  readonly findings: Finding[] = [];
  readonly #options: PluginCheckOptions;
  readonly #sealed = new SealedFiles();
  readonly #home = mkdtempSync(join(tmpdir(), "signet-check-"));
  #files: readonly CheckedFile[] = [];

  constructor(options: PluginCheckOptions) {
    this.#options = options;
  }

  close(): void {
    rmSync(this.#home, { recursive: true, force: true });
  }

  async perform(): Promise<void> {
    if (!this.#seal() || !this.#checkElf()) return;
    const { facts } = await this.#perform({ name: "facts" });
    if (facts === null) return;
    await this.#checkRefusals();
    if ((await this.#perform({ name: "instance" })).isUsable) await this.#checkRuns(facts);
    this.#checkHome();
  }

  /** False if a file is not one that could be sealed. */
  #seal(): boolean {
    const { library, dependencies, models } = this.#options;
    const seal = (path: string, role: FileRole): CheckedFile => ({
      role,
      sealed: this.#sealed.sealUnchecked(path, basename(path)),
    });
    try {
      this.#files = [
        ...dependencies.map((path) => seal(path, "dependency")),
        seal(library, "library"),
        ...models.map((path) => seal(path, "model")),
      ];
    } catch (error) {
      const failure = SignetError.from(error);
      if (failure.code === "LIBRARY_MISSING") throw new SignetError("FILE_UNREADABLE", failure.message);
      if (failure.code === "FILE_UNREADABLE" || failure.code === "INTERNAL") throw failure;
      this.#add("fail", "sealing into memory", failure.message);
      return false;
    }
    const bytes = this.#files.reduce((sum, { sealed }) => sum + sealed.size, 0);
    this.#add(
      "ok",
      "sealing into memory",
      `${this.#files.length === 1 ? "1 file" : `${this.#files.length} files`}, ${bytes} bytes`,
    );
    return true;
  }

  /** What the dynamic loader would do; false if it must not be let near the file. */
  #checkElf(): boolean {
    const models = this.#files.filter(({ role }) => role === "model");
    const libraries: (CheckedFile & { name: string; elf: ReturnType<typeof readElf> })[] = [];
    for (const file of this.#files) {
      if (file.role === "model") continue;
      const { name } = file.sealed;
      try {
        const bytes = readSealed(file.sealed);
        const elf = readElf(bytes);
        libraries.push({ ...file, name, elf });
        const needed = elf.needed.join(" ") || "nothing";
        const runpath = elf.runpath.length > 0 ? `, RUNPATH ${elf.runpath.join(":")}` : "";
        this.#add("ok", `ELF of ${name}`, `${elf.machine}, SONAME ${elf.soname ?? "none"}, needs ${needed}${runpath}`);
        const expected = process.arch === "x64" ? "x86-64" : "aarch64";
        if (elf.machine !== expected) {
          this.#add("fail", `machine of ${name}`, `expected ${expected}, found ${elf.machine}`);
          return false;
        }
        if (file.role === "library") this.#checkExports(bytes);
      } catch (error) {
        this.#add("fail", `ELF of ${name}`, SignetError.from(error).message);
        return false;
      }
    }
    try {
      const ordered = loadOrder(libraries);
      this.#files = [...ordered.map(({ role, sealed }) => ({ role, sealed })), ...models];
      this.#add("ok", "dependencies", "covered by what was given and the system base");
      return true;
    } catch (error) {
      this.#add("fail", "dependencies", SignetError.from(error).message);
      return false;
    }
  }

  /** More exported names than the one can clash with those of another library in the same process. */
  #checkExports(bytes: Uint8Array): void {
    const symbols = exportedSymbols(bytes);
    const others = symbols.filter((symbol) => symbol !== PLUGIN_SYMBOL);
    if (!symbols.includes(PLUGIN_SYMBOL)) {
      this.#add("fail", "exported symbols", `expected ${PLUGIN_SYMBOL}, found ${symbols.length} others`);
    } else if (others.length > 0) {
      const named = others.slice(0, MAX_NAMED_SYMBOLS).join(" ");
      this.#add("warn", "exported symbols", `${others.length} besides ${PLUGIN_SYMBOL}, for example ${named}`);
    } else {
      this.#add("ok", "exported symbols", `${PLUGIN_SYMBOL} and nothing else`);
    }
  }

  async #checkRefusals(): Promise<void> {
    const good = JSON.stringify(this.#options.config);
    const unknownKey = JSON.stringify({ ...this.#options.config, "a key nobody knows": true });
    const refusal = (what: string, configText: string, spoiling: Spoiling | null): Scenario => ({
      name: "refusal",
      check: `create with ${what}`,
      configText,
      spoiling,
    });
    await this.#perform(refusal("an unknown configuration key", unknownKey, null));
    await this.#perform(refusal("a configuration that is not JSON", "{", null));
    if (this.#options.models.length === 0) return;
    await this.#perform(refusal("noise for its model", good, "noise"));
    await this.#perform(refusal("half of its model", good, "truncated"));
    await this.#perform(refusal("an empty model", good, "empty"));
  }

  async #checkRuns(facts: PluginFacts): Promise<void> {
    const { size } = await this.#perform({ name: "run" });
    await this.#perform({ name: "empty" });
    if (size !== null) {
      if (facts.cancel === "poll") await this.#perform({ name: "stop", size });
      if (facts.threading === "concurrent") await this.#perform({ name: "threads", size });
    }
    await this.#perform({ name: "memory" });
  }

  #checkHome(): void {
    const left = readdirSync(this.#home, { recursive: true });
    if (left.length === 0) this.#add("ok", "files written to HOME", "none");
    else this.#add("warn", "files written to HOME", `${left.length}, for example ${String(left[0])}`);
  }

  async #perform(scenario: Scenario): Promise<CheckOutcome> {
    const outcome = await runCheckProcess({
      task: {
        scenario,
        files: this.#files.map(({ role, sealed }) => ({ name: sealed.name, role, fd: sealed.fd })),
        configText: JSON.stringify(this.#options.config),
      },
      home: this.#home,
      tryTimeoutMs: this.#options.tryTimeoutMs ?? 60_000,
    });
    for (const { level, check, found } of outcome.findings) this.#add(level, check, found);
    return outcome;
  }

  #add(level: Finding["level"], check: string, found: string): void {
    this.findings.push({ level, check, found });
  }
}
