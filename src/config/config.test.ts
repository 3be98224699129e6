import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, onTestFinished, test } from "vitest";
import { SignetError } from "../errors.ts";
import { dataDirectory } from "./data-directory.ts";
import { resolveGrpcLimits } from "./grpc-settings.ts";
import { parseListen, resolveHttpListen, resolveListen } from "./listen.ts";
import { loadConfig, parseConfig } from "./load.ts";
import { serviceSettings } from "./schema.ts";

function useFile(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), "signet-config-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "signet.yaml");
  writeFileSync(file, text);
  return file;
}

function errorOf(act: () => unknown): SignetError {
  try {
    act();
  } catch (error) {
    if (error instanceof SignetError) return error;
    throw error;
  }
  throw new Error("expected an error, found none");
}

describe("loading", () => {
  test("a missing file in the default place means the defaults, and a named one must be there", () => {
    expect(loadConfig({ file: "/nowhere/signet.yaml", required: false }).listen).toBe("127.0.0.1:8001");
    expect(errorOf(() => loadConfig({ file: "/nowhere/signet.yaml", required: true })).code).toBe("FILE_UNREADABLE");
  });

  test("is read no further than a configuration can be long, also where the file never ends", () => {
    for (const file of ["/dev/zero", "/dev/urandom"]) {
      expect(errorOf(() => loadConfig({ file, required: true })).code).toBe("CONFIG_INVALID");
    }
  });

  test("an empty file means the defaults", () => {
    expect(loadConfig({ file: useFile("# nothing yet\n"), required: true }).maxMessageMiB).toBe(64);
  });

  test("the command line wins over the file, key by key", () => {
    const file = useFile("listen: 127.0.0.1:1\nlog: { level: warn, format: json }\n");
    const config = loadConfig({ file, required: true, overrides: { listen: "127.0.0.1:2", log: { level: "debug" } } });
    expect(config.listen).toBe("127.0.0.1:2");
    expect(config.log).toEqual({ level: "debug", format: "json" });
  });

  test("paths are relative to the file", () => {
    const file = useFile("tls: { cert: server.pem, key: /etc/key.pem }\n");
    expect(loadConfig({ file, required: true }).tls).toEqual({
      cert: join(file, "../server.pem"),
      key: "/etc/key.pem",
      clientCa: null,
      requireClientCertificate: false,
    });
  });

  test("a service's settings are the defaults with its own on top", () => {
    const config = parseConfig({ defaults: { maxQueue: 7 }, services: { ocr: { admission: "reject" } } }, "x");
    expect(serviceSettings(config, "ocr")).toMatchObject({ maxQueue: 7, admission: "reject", slotMiB: 64 });
    expect(serviceSettings(config, "other")).toMatchObject({ maxQueue: 7, admission: "queue" });
    expect(serviceSettings(config, "constructor")).toMatchObject({ maxQueue: 7, admission: "queue" });
  });

  test("how calls wait and run together is complete, whatever of it is said", () => {
    const config = parseConfig(
      {
        defaults: { batching: { maxQueueDelayUs: 500 } },
        services: {
          ocr: { batching: { preferredSizes: [4] }, priorities: { levels: 2, queues: { 1: { maxQueue: 3 } } } },
        },
      },
      "x",
    );
    expect(serviceSettings(config, "ocr")).toMatchObject({
      batching: { maxSize: null, preferredSizes: [4], maxQueueDelayUs: 0 },
      priorities: { levels: 2, default: 0, queues: { 1: { maxQueue: 3 } } },
    });
    expect(serviceSettings(config, "other").batching.maxQueueDelayUs).toBe(500);
  });

  test("the memory of requests holds the largest, whatever of it is said", () => {
    const limits = (config: object) => resolveGrpcLimits(parseConfig(config, "x"));
    const [mib512, mib600, mib768] = [512, 600, 768].map((mib) => mib * 2 ** 20);
    expect(limits({})).toMatchObject({ requestBytes: 2 * mib512!, requestBytesPerConnection: mib512 });
    expect(limits({ maxMessageMiB: 256 })).toMatchObject({
      requestBytes: 2 * mib768!,
      requestBytesPerConnection: mib768,
    });
    const grpc = { requestMemoryMiB: 600, requestMemoryPerConnectionMiB: 512 };
    expect(limits({ grpc })).toMatchObject({ requestBytes: mib600, requestBytesPerConnection: mib512 });
  });

  test("a database's URL is kept so that it cannot be printed, and so is one that is wrong", () => {
    const url = "postgresql://ada:hunter2@db.example:5432/signet?sslmode=verify-full";
    const { jobs } = loadConfig({ file: useFile(`jobs: { database: "${url}" }`), required: true });
    expect(jobs.database?.reveal()).toBe(url);
    expect(`${JSON.stringify(jobs)} ${inspect(jobs, { showHidden: true })} ${jobs.database}`).not.toContain("hunter2");
  });

  test.each([
    [
      "another kind of database",
      "jobs: { database: 'mysql://ada:hunter2@h/d' }",
      /jobs\.database.*expected postgresql/,
    ],
    ["half a URL", "jobs: { database: 'ada:hunter2' }", /jobs\.database/],
    ["a URL whose port is none", "jobs: { database: 'postgresql://ada:hunter2@h:x/d' }", /jobs\.database/],
    ["a section that is a URL", "jobs: 'postgresql://ada:hunter2@h/d'", /jobs: .*"postgresql:\/\/"…/],
    ["a password among the parameters", "log: { level: 'postgresql://h/d?password=hunter2' }", /log\.level/],
    ["a key that is mistyped", "jobs: { databse: 'postgresql://ada:hunter2@h/d' }", /databse/],
    ["a wrong line", "jobs: { database: postgresql://ada:hunter2@h/d", /signet\.yaml:1/],
    ["an endpoint with credentials", "jobs: { artifacts: { s3: { endpoint: 'http://a:hunter2@h' } } }", /endpoint/],
  ])("%s is refused without the password", (_, text, place) => {
    const error = errorOf(() => loadConfig({ file: useFile(text), required: true }));
    expect(error.code).toBe("CONFIG_INVALID");
    expect(error.message).toMatch(place);
    expect(error.message).not.toContain("hunter2");
  });

  test("artifacts are in the data directory, or in a bucket that is named in full", () => {
    const artifacts = (text: string) => loadConfig({ file: useFile(text), required: true }).jobs.artifacts;
    expect(artifacts("jobs: {}")).toBeNull();
    const s3 = { endpoint: "https://s3.example:443", bucket: "signet-jobs" };
    expect(artifacts(`jobs: { artifacts: ${JSON.stringify({ s3 })} }`)).toEqual({
      s3: { ...s3, region: "us-east-1", prefix: "" },
    });
  });

  test("the result cannot be changed, inside neither", () => {
    const config = parseConfig({ services: { ocr: {} } }, "x");
    expect(() => Object.assign(config.defaults, { maxQueue: 1 })).toThrow(TypeError);
    expect(() => Object.assign(config.services.ocr!, { maxQueue: 1 })).toThrow(TypeError);
  });

  test.each([
    ["an unknown key", "listn: x", /listn/],
    ["an unknown key of a service", "services: { ocr: { maxQueu: 1 } }", /services\.ocr.*maxQueu/],
    ["a wrong type", "drainMs: soon", /drainMs/],
    ["a number out of range", "defaults: { slotMiB: 0 }", /defaults\.slotMiB/],
    ["an address without a port", "listen: 127.0.0.1", /:1: listen: expected ADDRESS:PORT.*found "127\.0\.0\.1"/],
    ["a duration no timer can wait", "drainMs: 99999999999", /drainMs/],
    ["a word out of the list", "log: { level: loud }", /log\.level/],
    ["a default priority that is none", "defaults: { priorities: { levels: 2, default: 3 } }", /priorities\.default/],
    ["a queue of no priority", "defaults: { priorities: { levels: 2, queues: { 3: {} } } }", /priorities\.queues/],
    ["a priority of 0", "services: { ocr: { priorities: { levels: 2, queues: { 0: {} } } } }", /priorities\.queues/],
    ["a batch of no size", "services: { ocr: { batching: { preferredSizes: [0] } } }", /batching\.preferredSizes/],
    ["memory that is less than a message", "grpc: { requestMemoryMiB: 100 }", /grpc\.requestMemoryMiB.*three times/],
    ["a bucket with a name that is none", "jobs: { artifacts: { s3: { endpoint: 'http://h', bucket: B } } }", /bucket/],
    ["a prefix that is no folder", "jobs: { artifacts: { s3: { prefix: a } } }", /jobs\.artifacts\.s3/],
    ["an endpoint with a path", "jobs: { artifacts: { s3: { endpoint: 'http://h/b', bucket: bb1 } } }", /endpoint/],
    ["a lease that is over at once", "jobs: { leaseMs: 0 }", /jobs\.leaseMs/],
    ["half of tls", "tls: { cert: a.pem }", /tls\.key/],
    [
      "a client certificate of no CA",
      "tls: { cert: a, key: b, requireClientCertificate: true }",
      /tls\.requireClientCertificate/,
    ],
    ["a key twice", "drainMs: 1\ndrainMs: 2", /:2: /],
    ["no YAML", "a: [", /signet\.yaml/],
    ["a list", "- listen", /signet\.yaml/],
    ["aliases, with which a small file becomes a huge one", "defaults: &a {}\nservices: { x: *a }", /alias/],
    ["a tag", "listen: !!js/function x", /signet\.yaml/],
  ])("%s is refused, naming the place", (_, text, place) => {
    const error = errorOf(() => loadConfig({ file: useFile(text), required: true }));
    expect(error.code).toBe("CONFIG_INVALID");
    expect(error.message).toMatch(place);
    expect(error.message).not.toContain("\n");
  });
});

describe("listening", () => {
  test("is for gRPC alone, unless REST is turned on, by the same rules", () => {
    expect(resolveHttpListen(parseConfig({}, "test"))).toBeNull();
    expect(resolveHttpListen(parseConfig({ http: {} }, "test"))).toMatchObject({
      address: "127.0.0.1:8000",
      tls: null,
    });
    const wide = parseConfig({ http: { listen: "0.0.0.0:8000" } }, "test");
    expect(errorOf(() => resolveHttpListen(wide))).toMatchObject({
      code: "INSECURE_LISTEN",
      message: /^http\.listen: /,
    });
    expect(resolveHttpListen({ ...wide, insecure: true })).toMatchObject({ host: "0.0.0.0", port: 8000 });
    expect(resolveHttpListen({ ...wide, tls })).toMatchObject({ tls });
  });

  const tls = { cert: "/c", key: "/k", clientCa: null, requireClientCertificate: false };

  test.each([
    ["127.0.0.1:8001", "127.0.0.1:8001"],
    ["127.8.0.9:0", "127.8.0.9:0"],
    ["[::1]:8001", "[::1]:8001"],
    ["localhost:8001", "127.0.0.1:8001"],
  ])("%s in plaintext is allowed as %s", (listen, address) => {
    expect(resolveListen({ listen, insecure: false })).toMatchObject({ address, tls: null });
  });

  test.each(["0.0.0.0:8001", "[::]:8001", "192.168.0.7:8001", "127.0.0.1.example.com:8001", "[::ffff:10.0.0.1]:8001"])(
    "%s needs TLS or the word insecure",
    (listen) => {
      expect(errorOf(() => resolveListen({ listen, insecure: false })).code).toBe("INSECURE_LISTEN");
      expect(resolveListen({ listen, insecure: true }).tls).toBeNull();
      expect(resolveListen({ listen, insecure: false, tls }).tls).toEqual(tls);
    },
  );

  test.each([
    "8001",
    "127.0.0.1",
    "127.0.0.1:",
    "127.0.0.1:65536",
    "::1:8001",
    "[localhost]:1",
    "unix:/x",
    "a b:1",
    "",
  ])("%j is no address", (text) => {
    expect(errorOf(() => parseListen(text)).code).toBe("CONFIG_INVALID");
  });
});

describe("the data directory", () => {
  const around = { env: {}, uid: 1000, home: "/home/ada" };

  test.each([
    ["the flag", "/flag", { ...around, env: { SIGNET_DATA: "/env" } }, "/flag"],
    ["the environment", undefined, { ...around, uid: 0, env: { SIGNET_DATA: "/env" } }, "/env"],
    ["root's place", undefined, { ...around, uid: 0, env: { XDG_DATA_HOME: "/xdg" } }, "/var/lib/signet"],
    ["XDG's place", undefined, { ...around, env: { XDG_DATA_HOME: "/xdg" } }, "/xdg/signet"],
    [
      "home, where XDG's place is relative",
      undefined,
      { ...around, env: { XDG_DATA_HOME: "xdg" } },
      "/home/ada/.local/share/signet",
    ],
    ["home", undefined, around, "/home/ada/.local/share/signet"],
  ])("is %s", (_, flag, surroundings, root) => {
    expect(dataDirectory(flag, surroundings).root).toBe(root);
  });

  // Making directories there never ends in Node.
  test.each(["/proc", "/proc/x/y", "/dev/fd/x"])("is not in %s", (path) => {
    expect(errorOf(() => dataDirectory(path))).toMatchObject({
      code: "FILE_UNREADABLE",
      message: expect.stringContaining(`${path}: expected a directory that can hold files`),
    });
  });

  test("keeps the ledger's second anchor out of the ledger's directory", () => {
    const { ledgerDir, ledgerAnchorFile } = dataDirectory("/d");
    expect(ledgerAnchorFile.startsWith(`${ledgerDir}/`)).toBe(false);
  });
});
