import { pluginFactsSchema } from "../plugin/index.ts";
import { Channel } from "./channel.ts";
import type { CheckTask, Finding, FindingLevel, FromCheck, ScenarioResult } from "./check-protocol.ts";
import { FIRST_INHERITED_FD } from "./protocol.ts";
import { startChild } from "./start-child.ts";

export interface CheckProcessOptions {
  readonly task: CheckTask;
  /** An existing directory that becomes the child's HOME. */
  readonly home: string;
  /** How long one try may take before it counts as hanging. */
  readonly tryTimeoutMs: number;
}

export interface CheckOutcome extends ScenarioResult {
  readonly findings: readonly Finding[];
}

const levels: readonly FindingLevel[] = ["ok", "warn", "fail", "skip"];
const MAX_TEXT = 2_000;
const MAX_FINDINGS = 1_000;

/** Performs one scenario in a process of its own. Never rejects: whatever the plugin does becomes a finding. */
export function runCheckProcess({ task, home, tryTimeoutMs }: CheckProcessOptions): Promise<CheckOutcome> {
  const child = startChild({
    program: "check.ts",
    home,
    threads: 1,
    inherited: task.files.map((file) => file.fd),
    nodeFlags: ["--expose-gc"],
  });
  const findings: Finding[] = [];
  let check = "starting its process";
  let result: ScenarioResult | undefined;
  let lastWords = "";
  let hasHung = false;
  let timer: NodeJS.Timeout;
  const watch = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      hasHung = true;
      child.kill();
    }, tryTimeoutMs);
  };
  watch();
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      lastWords = (lastWords + text).slice(-MAX_TEXT);
    });
  }
  // The plugin lives in that process and may write to the channel too: nothing here trusts its shape.
  const receive = (message: FromCheck) => {
    if (message?.type === "trying") {
      check = clean(message.check);
      watch();
    } else if (message?.type === "finding" && levels.includes(message.finding?.level)) {
      const { level, check: what, found } = message.finding;
      if (findings.length < MAX_FINDINGS) findings.push({ level, check: clean(what), found: clean(found) });
    } else if (message?.type === "end") {
      result = readResult(message);
    }
  };
  const channel = new Channel<CheckTask>(child.channel, {
    onMessage: (message) => receive(message as FromCheck),
    onBroken: (what) => {
      findings.push({ level: "fail", check, found: `its process sent ${what}` });
      child.kill();
    },
    onEnd: () => {},
  });
  const { promise, resolve } = Promise.withResolvers<CheckOutcome>();
  const end = (how: string) => {
    clearTimeout(timer);
    if (result === undefined) {
      const words = lastWords.trim().split("\n").at(-1);
      findings.push({ level: "fail", check, found: words ? `${how}; its last words: ${clean(words)}` : how });
    }
    resolve({ findings, ...(result ?? { isUsable: false, size: null, facts: null }) });
  };
  child.onError((error) => end(`the process could not be started: ${error.message}`));
  // "close" comes after "exit", when everything the child had said has been read.
  child.onEnd("close", (how) => {
    if (hasHung) end(`did not return within ${tryTimeoutMs / 1000} s`);
    else end(`the process ${how}`);
  });
  channel.send({ ...task, files: task.files.map((file, index) => ({ ...file, fd: FIRST_INHERITED_FD + index })) });
  return promise;
}

function readResult({ isUsable, size, facts }: ScenarioResult): ScenarioResult {
  const parsed = pluginFactsSchema.safeParse(facts);
  return {
    isUsable: isUsable === true,
    size: Number.isSafeInteger(size) ? size : null,
    facts: parsed.success ? parsed.data : null,
  };
}

function clean(text: unknown): string {
  return (typeof text === "string" ? text : "no text").replace(/[\u0000-\u001f\u007f]+/g, " ").slice(0, MAX_TEXT);
}
