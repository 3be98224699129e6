import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { isFinal } from "./job-state.ts";
import { findContradictions, type StoreUnderTest, useStore } from "./store.fixture.ts";
import type { Acknowledged, KillProgramTask } from "./store.kill-program.ts";
import type { Store } from "./store.ts";

const KILLS = 12;
const program = fileURLToPath(new URL("./store.kill-program.ts", import.meta.url));

export function killConformance(useEmpty: () => Promise<StoreUnderTest>): void {
  test(`${KILLS} kills in the middle of random verbs lose nothing that was answered, and leave no half of a verb`, {
    timeout: 300_000,
  }, async () => {
    const empty = await useEmpty();
    await (await useStore(empty.place)).close();
    for (let kill = 0; kill < KILLS; kill++) {
      const answers = await runAndKill({ place: empty.place, life: `life-${kill}` }, 100 * Math.random());
      expect(answers.length).toBeGreaterThan(0);
      const store = await useStore(empty.place);
      await verifyKept(store, answers);
      await store.close();
      expect(await findContradictions(empty)).toEqual([]);
    }
  });
}

/** Kills the program so long after its first answer. @returns what it had been answered */
async function runAndKill(task: KillProgramTask, afterMs: number): Promise<readonly Acknowledged[]> {
  const child = spawn(process.execPath, [program, JSON.stringify(task)], { stdio: ["ignore", "pipe", "pipe"] });
  let [text, complaints] = ["", ""];
  child.stdout.on("data", (bytes: Buffer) => {
    if (text === "") setTimeout(() => child.kill("SIGKILL"), afterMs);
    text += bytes;
  });
  child.stderr.on("data", (bytes: Buffer) => {
    complaints += bytes;
  });
  const [, signal] = await once(child, "close");
  expect({ signal, complaints }).toEqual({ signal: "SIGKILL", complaints: "" });
  // A line that was cut off was not answered.
  const lines = text.slice(0, text.lastIndexOf("\n") + 1).trimEnd();
  return lines.split("\n").map((line) => JSON.parse(line) as Acknowledged);
}

async function verifyKept(store: Store, answers: readonly Acknowledged[]): Promise<void> {
  const last = new Map<string, Acknowledged>();
  for (const answer of answers) if (!isEnd(last.get(answer.id))) last.set(answer.id, answer);
  for (const { id, state, attempts } of last.values()) {
    const job = await store.get(id);
    expect(job).toBeDefined();
    if (isEnd({ id, state, attempts })) expect(job).toMatchObject({ state, attempts });
    if (state === "cancel requested") expect(job!.isCancelRequested || isFinal(job!.state)).toBe(true);
    if (state === "succeeded") expect(await store.outputs(id)).toEqual({ inline: new Uint8Array(Buffer.from(id)) });
  }
}

function isEnd(answer: Acknowledged | undefined): boolean {
  return answer !== undefined && answer.state !== "cancel requested" && isFinal(answer.state);
}
