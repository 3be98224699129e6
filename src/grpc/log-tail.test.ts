import { expect, test } from "vitest";
import type { LogLine } from "../logs/index.ts";
import { LogTail } from "./log-tail.ts";

function line(text: string): LogLine {
  const time = "2030-01-01T00:00:00.000Z";
  return { time, source: "service", service: "ocr", stream: "stdout", level: null, pid: 1, jobs: [], text };
}

function useTail() {
  let say: (line: LogLine) => void = () => {};
  let isSubscribed = true;
  const tail = new LogTail((onLine) => {
    say = onLine;
    return () => {
      isSubscribed = false;
    };
  });
  return { tail, say: (text: string) => say(line(text)), isSubscribed: () => isSubscribed };
}

test("lines that were read from the files meanwhile do not come twice", async () => {
  const { tail, say } = useTail();
  say("kept");
  say("new");
  const { value } = await tail.after([line("kept")]).next();
  expect(value).toEqual({ line: line("new"), skipped: 0 });
  tail.end();
});

test("what nobody takes is bounded, and the next line says how much was left out", async () => {
  const { tail, say } = useTail();
  for (let number = 0; number < 1500; number++) say(`${number}`);
  const lines = tail.after([]);
  for (let number = 0; number < 1000; number++) {
    expect((await lines.next()).value).toEqual({ line: line(`${number}`), skipped: 0 });
  }
  say("later");
  expect((await lines.next()).value).toEqual({ line: line("later"), skipped: 500 });
  tail.end();
});

test("it ends when it is told to, also while it waits", async () => {
  const { tail, isSubscribed } = useTail();
  const lines = tail.after([]);
  expect((await lines.next()).value).toEqual({ line: null, skipped: 0 });
  const next = lines.next();
  tail.end();
  expect(isSubscribed()).toBe(false);
  expect((await next).done).toBe(true);
});
