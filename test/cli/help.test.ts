import type { Command } from "commander";
import { describe, expect, test } from "vitest";
import { createProgram as createSignet } from "../../src/cli/main.ts";
import { createProgram as createSignetLicense } from "../../tools/license/main.ts";
import { useBareHost } from "../helpers/operator.ts";
import { runProgram } from "../helpers/programs.ts";

function commandsOf(command: Command, path: readonly string[] = []): string[][] {
  const below = command.commands.flatMap((each) => commandsOf(each, [...path, each.name()]));
  return [[...path], ...below];
}

const programs = { signet: createSignet(), "signet-license": createSignetLicense() };

test.each(Object.entries(programs))("the help of every command of %s fits into 80 columns", (_, program) => {
  const paths = commandsOf(program);
  expect(paths.length).toBeGreaterThan(3);
  const tooLong = paths.flatMap((path) => {
    const command = path.reduce((above, name) => above.commands.find((each) => each.name() === name)!, program);
    let help = "";
    command.configureOutput({ writeOut: (text) => (help += text), getOutHelpWidth: () => 80 });
    command.outputHelp();
    return help.split("\n").filter((line) => line.length > 80);
  });
  expect(tooLong).toEqual([]);
});

describe("a program", () => {
  test.each([
    ["signet", []],
    ["signet", ["license"]],
    ["signet", ["access"]],
    ["signet-license", []],
    ["signet-license", ["vendor"]],
  ] as const)("%s %j without its command shows its help where talk goes", (program, words) => {
    const { exit, out, err } = runProgram(program, [...words], {});
    expect({ exit, out }).toEqual({ exit: 2, out: "" });
    expect(err).toContain(`Usage: ${[program, ...words].join(" ")}`);
    expect(err).toContain("Commands:");
  });

  test("shows the help of a command that is asked for by help, too", () => {
    const asked = runProgram("signet", ["help", "license", "install"], {});
    expect(asked).toEqual(runProgram("signet", ["license", "install", "--help"], {}));
    expect(asked).toMatchObject({ exit: 0, err: "", out: expect.stringContaining("Usage: signet license install") });
    expect(asked.out).toContain("--data <directory>");
  });

  test.each([
    [["license", "install"], "signet license install --help"],
    [["license", "instal"], "signet license --help"],
    [["access", "remove", "nosuch"], "signet access remove --help"],
    [["--nosuch"], "signet --help"],
  ])("called with wrong words %j names the help to read", (words, help) => {
    const { err, code } = useBareHost().signet(...words);
    expect(code).toBe("USAGE");
    expect(err).toContain(`\`${help}\``);
  });
});
