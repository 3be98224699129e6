import { writeFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { parseConfig } from "../../../src/config/load.ts";
import { parseYaml } from "../../../src/config/parse-yaml.ts";
import { serviceSettings } from "../../../src/config/schema.ts";
import { readTokens } from "../../../src/service/access-file.ts";
import { mutateBytes } from "../mutate.ts";
import { mutateJson } from "../mutate-json.ts";
import { hold, type Target } from "../target.ts";
import { createScratch } from "./scratch.ts";

const configuration = `# a comment
listen: "[::1]:8001"
tls: { cert: a.pem, key: b.pem, clientCa: null }
maxMessageMiB: 64
log:
  level: info
  format: "json"
defaults:
  admission: reject
  queueTimeoutMs: ~
services:
  demo:
    slotMiB: 32
    sandbox: 'none'
`;

/** The server's configuration, from YAML to settings. */
export function config(): Target {
  return {
    codes: ["CONFIG_INVALID"],
    starts: [
      Buffer.from(configuration),
      Buffer.from("a: &b [1]\nc: *b\n"),
      Buffer.from("? x\n: |\n  y\n--- !t {a: 1}\n..."),
    ],
    mutate: mutateBytes,
    maxBytes: 1024,
    run(input) {
      const { value, placeOf } = parseYaml(input.toString(), "signet.yaml", "CONFIG_INVALID");
      const read = parseConfig(value, "signet.yaml", {}, placeOf);
      hold(Object.isFrozen(read) && Object.isFrozen(read.defaults), "a configuration is frozen");
      for (const name of Object.keys(read.services)) serviceSettings(read, name);
      const { tls: _, ...rest } = read;
      const { tls: __, ...again } = parseConfig(JSON.parse(JSON.stringify(rest)), "signet.yaml");
      hold(isDeepStrictEqual(again, rest), "a complete configuration means itself");
      return "accepted";
    },
  };
}

/** The file of access. */
export function accessFile(): Target {
  const scratch = createScratch();
  const path = scratch.path("access.json");
  writeFileSync(path, "", { mode: 0o600 });
  const digest = "ef".repeat(32);
  const token = {
    ...{ id: "abcd1234", name: "line-1", role: "client", services: ["demo"], secretSha256: digest },
    ...{ createdAt: "2026-03-01T12:00:00Z", expires: null },
  };
  const { secretSha256: _, ...common } = token;
  const limits = { callsPerSecond: 2.5, burst: 10, concurrent: null };
  const certificate = { ...common, id: "wxyz9876", services: "all", certificateSha256: digest, limits };
  return {
    codes: ["ACCESS_FILE_INVALID"],
    starts: [Buffer.from(JSON.stringify({ v: 1, tokens: [token, certificate] }))],
    mutate: mutateJson,
    maxBytes: 2048,
    run(input) {
      writeFileSync(path, input);
      const tokens = readTokens(path);
      hold(
        tokens.every((each) => (each.secretSha256 === undefined) !== (each.certificateSha256 === undefined)),
        "who is let in has one proof",
      );
      return "accepted";
    },
    close: scratch.remove,
  };
}
