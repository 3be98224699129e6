import { execFileSync } from "node:child_process";
import {
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import { codeOf } from "../../test/helpers/code-of.ts";
import type { Identity } from "./access.ts";
import { noLimits } from "./call-quotas.ts";
import { MAX_REGIONS_OF_ONE, type RegionDescription, SharedMemory } from "./shared-memory.ts";

const attack = attacksOn("calls");
const own = process.getuid!();

function identity(id: string): Identity {
  return { id, name: id, role: "client", limits: noLimits, require: () => undefined };
}

const alice = identity("alice");
const mallory = identity("mallory");

/** A directory that stands for /dev/shm, with an object of 100 bytes: 0, 1, 2… */
function useDirectory(isEnabled = true) {
  const root = mkdtempSync(join(tmpdir(), "signet-test-shm-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const directory = join(root, "shm");
  mkdirSync(directory);
  const object = join(directory, "object");
  writeFileSync(
    object,
    Uint8Array.from({ length: 100 }, (_, index) => index),
  );
  return { root, directory, object, memory: new SharedMemory({ isEnabled, directory }) };
}

function region(more: Partial<RegionDescription> = {}): RegionDescription {
  return { name: "r", key: "/object", offset: 0, byteSize: 100, ...more };
}

describe("a region", () => {
  test("is read and written where it lies, from its own beginning", () => {
    const { memory, object } = useDirectory();
    memory.register(alice, own, region({ offset: 10, byteSize: 50 }));
    const window = memory.open(alice, { region: "r", offset: 5, byteSize: 3 });
    expect([...window.read()]).toEqual([15, 16, 17]);
    window.write(Uint8Array.of(255, 254));
    expect([...readFileSync(object).subarray(14, 19)]).toEqual([14, 255, 254, 17, 18]);
    expect([...window.read()]).toEqual([255, 254, 17]);
  });

  test("is told by its owner's name, until it is unregistered, one by one or all", () => {
    const { memory } = useDirectory();
    memory.register(alice, own, region());
    memory.register(alice, own, region({ name: "__proto__", key: "object", byteSize: 1 }));
    expect(memory.status(alice, "r")).toMatchObject([region()]);
    expect(memory.status(alice, "").map(({ name }) => name)).toEqual(["r", "__proto__"]);
    memory.unregister(alice, "r");
    memory.unregister(alice, "not there");
    expect(memory.status(alice, "").map(({ name }) => name)).toEqual(["__proto__"]);
    memory.unregister(alice, "");
    expect(memory.status(alice, "")).toEqual([]);
    expect(codeOf(() => memory.status(alice, "r"))).toBe("SHARED_MEMORY_NOT_FOUND");
  });

  test("is registered once by a name", () => {
    const { memory } = useDirectory();
    memory.register(alice, own, region());
    expect(codeOf(() => memory.register(alice, own, region()))).toBe("SHARED_MEMORY_EXISTS");
  });

  test("that is unregistered stays what it is for a call that has it, and its descriptor is closed after that", () => {
    const { memory } = useDirectory();
    const before = readdirSync("/proc/self/fd").length;
    memory.register(alice, own, region());
    const window = memory.open(alice, { region: "r", offset: 0, byteSize: 2 });
    memory.unregister(alice, "");
    expect([...window.read()]).toEqual([0, 1]);
    window.release();
    window.release();
    expect(readdirSync("/proc/self/fd").length).toBe(before);
  });

  test("needs shared memory to be on", () => {
    const { memory } = useDirectory(false);
    expect(codeOf(() => memory.register(alice, own, region()))).toBe("SHARED_MEMORY_OFF");
    expect(codeOf(() => memory.open(alice, { region: "r", offset: 0, byteSize: 1 }))).toBe("SHARED_MEMORY_OFF");
  });
});

test(
  "a region of one caller is nobody else's",
  attack("names another caller's region", "infer, look, unregister"),
  () => {
    const { memory } = useDirectory();
    memory.register(alice, own, region());
    const place = { region: "r", offset: 0, byteSize: 1 };
    expect(codeOf(() => memory.open(mallory, place))).toBe("SHARED_MEMORY_NOT_FOUND");
    expect(codeOf(() => memory.status(mallory, "r"))).toBe("SHARED_MEMORY_NOT_FOUND");
    memory.unregister(mallory, "r");
    memory.unregister(mallory, "");
    expect(memory.status(alice, "")).toHaveLength(1);
  },
);

describe("what is not the client's shared memory is refused:", () => {
  test.each<[string, Partial<RegionDescription>]>([
    ["the directory above", { key: "/.." }],
    ["a path out of it", { key: "/../secret" }],
    ["an absolute path", { key: "//etc/passwd" }],
    ["a path into it", { key: "/folder/object" }],
    ["the directory itself", { key: "/" }],
    ["a name with a NUL", { key: "/object\0" }],
    ["a name that is too long", { key: `/${"x".repeat(256)}` }],
    ["a symbolic link", { key: "/link" }],
    ["a folder", { key: "/folder" }],
    ["a pipe", { key: "/pipe" }],
    ["nothing", { key: "/nothing" }],
    ["no bytes", { byteSize: 0 }],
    ["more than there is", { byteSize: 101 }],
    ["more than there is behind an offset", { offset: 1 }],
    ["an offset beyond all numbers", { offset: 2 ** 60 }],
    ["no name", { name: "" }],
  ])("%s", attack.each("registers what is not its shared memory"), (_, more) => {
    const { memory, directory, root } = useDirectory();
    writeFileSync(join(root, "secret"), Buffer.alloc(100));
    symlinkSync(join(root, "secret"), join(directory, "link"));
    mkdirSync(join(directory, "folder"));
    writeFileSync(join(directory, "folder", "object"), Buffer.alloc(100));
    execFileSync("mkfifo", [join(directory, "pipe")]);
    const before = readdirSync("/proc/self/fd").length;
    expect(codeOf(() => memory.register(alice, own, region(more)))).toBe("SHARED_MEMORY_INVALID");
    expect(readdirSync("/proc/self/fd").length).toBe(before);
  });

  test("from a client elsewhere", attack("registers from another machine", "a client whose user is not known"), () => {
    const { memory } = useDirectory();
    expect(codeOf(() => memory.register(alice, null, region()))).toBe("SHARED_MEMORY_INVALID");
  });

  test("another user's, told apart in nothing from what is not there", attack("another user's object"), () => {
    const { memory, directory, object } = useDirectory();
    linkSync(object, join(directory, "hard-link"));
    if (own === 0) chownSync(object, 1, 1); // no matter that the server could open it
    // Root too: a proxy may run as root, and strangers come through it.
    for (const someone of [0, 65_534]) {
      const refusals = ["/object", "/hard-link", "/nothing"].map((key) => {
        try {
          memory.register(alice, someone, region({ key }));
          return "registered";
        } catch (error) {
          expect(error).toMatchObject({ code: "SHARED_MEMORY_INVALID" });
          return (error as Error).message;
        }
      });
      expect(new Set(refusals).size).toBe(1);
    }
  });
});

test.each([
  [{ offset: 0, byteSize: 41 }],
  [{ offset: 40, byteSize: 1 }],
  [{ offset: -1, byteSize: 1 }],
  [{ offset: 0.5, byteSize: 1 }],
  [{ offset: Number.MAX_SAFE_INTEGER, byteSize: 1 }],
  [{ offset: 1, byteSize: Number.MAX_SAFE_INTEGER }],
  [{ offset: Number.NaN, byteSize: 1 }],
])("a place outside its region is refused: %j", attack.each("reads beyond its region"), (place) => {
  const { memory } = useDirectory();
  memory.register(alice, own, region({ offset: 50, byteSize: 40 }));
  expect(codeOf(() => memory.open(alice, { region: "r", ...place }))).toBe("SHARED_MEMORY_INVALID");
});

test(
  "an object that is cut off while it is registered fails the call that needs it, and nothing else",
  attack("cuts the object off that the server has open", "truncate to 10 of 100 bytes"),
  () => {
    const { memory, object } = useDirectory();
    memory.register(alice, own, region());
    const window = memory.open(alice, { region: "r", offset: 0, byteSize: 100 });
    truncateSync(object, 10);
    expect(codeOf(() => window.read())).toBe("SHARED_MEMORY_INVALID");
    expect(codeOf(() => window.write(new Uint8Array(100)))).toBe("SHARED_MEMORY_INVALID");
    expect(readFileSync(object)).toHaveLength(10); // and it was not made longer again
    expect(codeOf(() => window.write(new Uint8Array(10)))).toBe("none");
  },
);

test("more output than there is room for is not written", () => {
  const { memory, object } = useDirectory();
  memory.register(alice, own, region());
  const window = memory.open(alice, { region: "r", offset: 0, byteSize: 2 });
  expect(codeOf(() => window.write(Uint8Array.of(9, 9, 9)))).toBe("SHARED_MEMORY_INVALID");
  expect([...readFileSync(object).subarray(0, 3)]).toEqual([0, 1, 2]);
});

test("a caller has a bounded number of regions", attack("registers without end", "one region after another"), () => {
  const { memory } = useDirectory();
  for (let n = 0; n < MAX_REGIONS_OF_ONE; n++) memory.register(mallory, own, region({ name: `${n}` }));
  expect(codeOf(() => memory.register(mallory, own, region({ name: "more" })))).toBe("SHARED_MEMORY_FULL");
  memory.register(alice, own, region());
  memory.unregister(mallory, "");
  memory.register(mallory, own, region());
});
