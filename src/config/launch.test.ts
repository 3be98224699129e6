import { describe, expect, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import { readLaunch, verifyLaunch } from "./index.ts";

const attack = attacksOn("the start of the server");

const nodeOptions = ["--disable-sigusr1"];

function environOf(...entries: string[]): string {
  return entries.map((entry) => `${entry}\0`).join("");
}

describe("a start is refused with", () => {
  test.each([
    ["LD_PRELOAD=/tmp/evil.so"],
    ["LD_AUDIT=/tmp/evil.so"],
    ["LD_LIBRARY_PATH=/tmp"],
    ["LD_DEBUG_OUTPUT=/tmp/x"],
    ["GLIBC_TUNABLES=glibc.rtld.optional_static_tls=1"],
    ["GCONV_PATH=/tmp"],
    ["NODE_OPTIONS=--require=/tmp/evil.js"],
    ["NODE_PATH=/tmp"],
    ["NODE_REPL_EXTERNAL_MODULE=/tmp/evil.js"],
    ["NODE_COMPILE_CACHE=/tmp"],
    ["OPENSSL_CONF=/tmp/evil.cnf"],
    ["OPENSSL_MODULES=/tmp"],
    ["OPENSSL_ENGINES=/tmp"],
  ])("%s", attack.each("brings code in by the environment"), (entry) => {
    const [name, value] = entry.split("=");
    const launch = { environ: environOf("PATH=/bin", entry, "HOME=/"), nodeOptions };
    expect(() => verifyLaunch(launch)).toThrow(
      expect.objectContaining({ code: "ENVIRONMENT_UNSAFE", message: expect.stringContaining(name!) }),
    );
    // The value may be a secret of whoever set it, and is of no use to whoever must remove it.
    expect(() => verifyLaunch(launch)).not.toThrow(
      expect.objectContaining({ message: expect.stringContaining(value!) }),
    );
  });

  test(
    "the second of two variables of one name",
    attack("hides a variable behind another", "LD_PRELOAD= twice"),
    () => {
      const environ = environOf("LD_PRELOAD=", "LD_PRELOAD=/tmp/evil.so");
      expect(() => verifyLaunch({ environ, nodeOptions })).toThrow(
        expect.objectContaining({ code: "ENVIRONMENT_UNSAFE" }),
      );
    },
  );

  test.each([
    ["--inspect"],
    ["--inspect-brk=0.0.0.0:9229"],
    ["--require"],
    ["-r"],
    ["--import=data:text/javascript,x"],
    ["--loader"],
    ["--experimental-loader"],
    ["--env-file=.env"],
    ["--openssl-config=x"],
  ])("Node's %s", attack.each("brings code in by Node's options"), (option) => {
    expect(() => verifyLaunch({ environ: "", nodeOptions: [...nodeOptions, option] })).toThrow(
      expect.objectContaining({ code: "ENVIRONMENT_UNSAFE" }),
    );
  });

  test(
    "a debugger that SIGUSR1 would open",
    attack("has a signal open a debugger", "without --disable-sigusr1"),
    () => {
      expect(() => verifyLaunch({ environ: "", nodeOptions: [] })).toThrow(
        expect.objectContaining({ code: "ENVIRONMENT_UNSAFE" }),
      );
    },
  );
});

test("an ordinary environment is accepted, that of a container image with Node and empty variables included", () => {
  const environ = environOf(
    ...["PATH=/bin", "NODE_VERSION=24.0.0", "NODE_ENV=production", "OLD_PWD=/", "LD_PRELOAD=", "NODE_OPTIONS="],
    ...["LANG=C", "SIGNET_DATA=/x", "no equals sign", "=odd"],
  );
  expect(() => verifyLaunch({ environ, nodeOptions })).not.toThrow();
});

test("what is read is what the process began with, not what it made of it", () => {
  process.env.SIGNET_TEST_LATER = "1";
  const { environ } = readLaunch();
  expect(environ).toContain("PATH=");
  expect(environ).not.toContain("SIGNET_TEST_LATER");
  delete process.env.SIGNET_TEST_LATER;
});
