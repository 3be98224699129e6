import type { Examination } from "./examine.ts";
import { Findings } from "./finding.ts";
import { listNames, readText, type Surroundings } from "./surroundings.ts";

const UNIT = "signet.service";
const unitDirectories = [
  "etc/systemd/system",
  "run/systemd/system",
  "usr/local/lib/systemd/system",
  "usr/lib/systemd/system",
];
const GUIDE = "docs/guides/operate.md has a unit that works.";

/** The unit as its files say it; systemctl is not asked, for no program is run here. */
export function examineSystemd({ around, data }: Examination): Findings {
  const findings = new Findings("systemd");
  const text = readUnit(around);
  if (text === null) {
    findings.ok("unit", `there is no ${UNIT}`);
    return findings;
  }
  const settings = parseUnit(text);
  const last = (key: string) => settings.get(key)?.at(-1) ?? null;
  const isOn = (key: string) => /^(yes|true|on|1)$/i.test(last(key) ?? "");
  const isEnabled = unitDirectories.some((directory) =>
    listNames(around, directory).some(
      (name) => name.endsWith(".wants") && listNames(around, `${directory}/${name}`).includes(UNIT),
    ),
  );
  if (isEnabled) findings.ok("unit", "is there and starts with the machine");
  else findings.note("unit", "is there, but does not start with the machine", "Run systemctl enable signet.");

  if (isOn("MemoryDenyWriteExecute")) {
    findings.problem(
      "MemoryDenyWriteExecute",
      "is on; neither JavaScript nor plugins can run",
      `Take it out. ${GUIDE}`,
    );
  }
  if (last("KillMode") !== "mixed") {
    const found = `is ${last("KillMode") ?? "not set"}; a stop would end jobs that still run`;
    findings.note("KillMode", found, `Set KillMode=mixed. ${GUIDE}`);
  }
  if (isOn("PrivateDevices")) findings.note("PrivateDevices", "is on; plugins see no GPU", `Take it out. ${GUIDE}`);
  const named = (settings.get("Environment") ?? [])
    .flatMap((line) => /SIGNET_DATA=([^"\s]+)/.exec(line)?.[1] ?? [])
    .at(-1);
  if (named !== undefined && named !== data.root) {
    const found = "names another data directory than the one examined here";
    findings.note("SIGNET_DATA", found, "Run this again with --data as in the unit.");
  }
  return findings;
}

/** The first unit file in systemd's order, then its drop-ins; null where there is none. */
function readUnit(around: Surroundings): string | null {
  for (const directory of unitDirectories) {
    const text = readText(around, `${directory}/${UNIT}`);
    if (text === null) continue;
    const dropIns = unitDirectories.flatMap((each) =>
      listNames(around, `${each}/${UNIT}.d`)
        .filter((name) => name.endsWith(".conf"))
        .map((name) => readText(around, `${each}/${UNIT}.d/${name}`) ?? ""),
    );
    return [text, ...dropIns].join("\n");
  }
  return null;
}

function parseUnit(text: string): Map<string, string[]> {
  const settings = new Map<string, string[]>();
  for (const line of text.replace(/\\\n/g, " ").split("\n")) {
    const [, key, value] = /^\s*([A-Za-z]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined) settings.set(key, [...(settings.get(key) ?? []), value]);
  }
  return settings;
}
