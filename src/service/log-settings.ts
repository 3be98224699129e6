import type { AuditLog } from "../audit/index.ts";
import { SignetError } from "../errors.ts";
import { type Log, type LogFormat, logControlOf } from "../telemetry/index.ts";
import { quoteName } from "../tensor/index.ts";
import type { Identity } from "./access.ts";

export type LogSettingValue = boolean | number | string;

/** Levels of the log, each with what Triton's switches say of it; a switch more is a level more. */
const levels = [
  { level: "trace", switches: [true, true, true], verbose: 2 },
  { level: "debug", switches: [true, true, true], verbose: 1 },
  { level: "info", switches: [true, true, true], verbose: 0 },
  { level: "warn", switches: [false, true, true], verbose: 0 },
  { level: "error", switches: [false, false, true], verbose: 0 },
  { level: "fatal", switches: [false, false, false], verbose: 0 },
] as const;

const switchNames = ["log_info", "log_warning", "log_error"] as const;

/**
 * The settings of the server's log in the protocol's words. They change the log that is being written, until the server
 * is started again; what would change nothing is refused.
 */
export class LogSettings {
  readonly #log: Log;
  readonly #audit: AuditLog;
  readonly #configured: LogFormat;

  constructor({ log, audit }: { readonly log: Log; readonly audit: AuditLog }) {
    this.#log = log;
    this.#audit = audit;
    this.#configured = logControlOf(log).format;
  }

  /**
   * Changes what is named, all of it or nothing, and tells what is set then.
   * @throws PERMISSION_DENIED, REQUEST_MALFORMED, NOT_IMPLEMENTED
   */
  change(identity: Identity, wanted: ReadonlyMap<string, LogSettingValue>): ReadonlyMap<string, LogSettingValue> {
    identity.require("operate");
    const current = this.#current();
    for (const [name, value] of wanted) {
      const present = current.get(name);
      if (present === undefined) throw malformed(name, `one of ${[...current.keys()].join(", ")}`, "another name");
      if (typeof value !== typeof present) throw malformed(name, `a ${typeof present}`, `a ${typeof value}`);
    }
    if ((wanted.get("log_file") ?? "") !== "") {
      throw new SignetError("NOT_IMPLEMENTED", "setting log_file: expected none, since the log is written to stderr");
    }
    const level = levelOf(new Map([...current, ...wanted]));
    const format = this.#formatOf(wanted.get("log_format"));
    if (wanted.size > 0) this.#apply(identity, level, format);
    return this.#current();
  }

  #current(): ReadonlyMap<string, LogSettingValue> {
    // `silent` has no switch of its own.
    const { switches, verbose } = levels.find(({ level }) => level === this.#log.level) ?? levels.at(-1)!;
    return new Map<string, LogSettingValue>([
      ["log_file", ""],
      ...switchNames.map((name, index): [string, LogSettingValue] => [name, switches[index]!]),
      ["log_verbose_level", verbose],
      ["log_format", logControlOf(this.#log).format],
    ]);
  }

  #formatOf(wanted: LogSettingValue | undefined): LogFormat {
    if (wanted === undefined) return logControlOf(this.#log).format;
    if (wanted === "default") return this.#configured;
    if (wanted === "json" || wanted === "pretty") return wanted;
    throw malformed("log_format", "json, pretty or default", quoteName(String(wanted)));
  }

  #apply(identity: Identity, level: string, format: LogFormat): void {
    // Told at the louder of the two levels, so that the last line of a log says why it ends.
    const say = () => this.#log.info({ level, format, identity: identity.name }, "log settings changed");
    const index = (name: string) => levels.findIndex((each) => each.level === name);
    const isQuieter = index(level) > index(this.#log.level);
    if (isQuieter) say();
    this.#log.level = level;
    logControlOf(this.#log).format = format;
    if (!isQuieter) say();
    this.#audit.record({ event: "settings.changed", detail: { what: "log", identity: identity.name, level, format } });
  }
}

/** The level that is just so loud. @throws REQUEST_MALFORMED where no level is */
function levelOf(settings: ReadonlyMap<string, LogSettingValue>): string {
  const found = levels.find(
    ({ switches, verbose }) =>
      switchNames.every((name, index) => settings.get(name) === switches[index]) &&
      settings.get("log_verbose_level") === verbose,
  );
  if (found) return found.level;
  throw new SignetError(
    "REQUEST_MALFORMED",
    "log settings: expected what is louder only with what is quieter: log_error, log_warning, log_info, and then log_verbose_level 1 or 2",
  );
}

function malformed(name: string, expected: string, found: string): SignetError {
  return new SignetError("REQUEST_MALFORMED", `setting ${quoteName(name)}: expected ${expected}, found ${found}`);
}
