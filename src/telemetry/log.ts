import { createRequire } from "node:module";
import pino from "pino";
import type { PrettyOptions } from "pino-pretty";
import { prettyLine } from "./pretty-line.ts";
import { redact } from "./redact.ts";

export type Log = pino.Logger;

export type LogFormat = "json" | "pretty";

export interface LogOptions {
  readonly level: pino.LevelWithSilent;
  /** auto is pretty where stderr is a terminal. */
  readonly format: "auto" | "json" | "pretty";
  /** Where lines go; stderr by default, since stdout is for data. */
  readonly destination?: NodeJS.WritableStream;
}

/**
 * A logger that writes one line at a time, synchronously: what was logged before a crash is there after it.
 * Everything logged passes through redact().
 */
export function createLog(options: LogOptions): Log {
  const pretty = options.format === "pretty" || (options.format === "auto" && process.stderr.isTTY === true);
  const raw = options.destination ?? pino.destination({ dest: 2, sync: true });
  let format: LogFormat = pretty ? "pretty" : "json";
  let forPeople: pino.DestinationStream | undefined;
  const targetOf = (wanted: LogFormat) => {
    if (wanted === "json") return raw;
    forPeople ??= prettyStream(options.destination);
    return forPeople;
  };
  let target = targetOf(format);
  const log = pino(
    {
      level: options.level,
      base: null, // systemd and containers already know host and pid
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        log: (object) => redact(object) as Record<string, unknown>,
      },
      serializers: { err: (described: unknown) => described }, // redact() has already described it
    },
    {
      write: (line) => {
        target.write(line);
        control.tap?.(line);
      },
    },
  );
  const control: LogControl = {
    tap: undefined,
    get format() {
      return format;
    },
    set format(wanted) {
      target = targetOf(wanted);
      format = wanted;
    },
  };
  controls.set(log, control);
  return withRedactedChildren(log);
}

/** What can be changed of a log while it is written, beside its level. */
export interface LogControl {
  format: LogFormat;
  /** Gets every line that is written, as JSON and with its end. */
  tap: ((line: string) => void) | undefined;
}

const controls = new WeakMap<Log, LogControl>();

/** Of a log that createLog made. */
export function logControlOf(log: Log): LogControl {
  const control = controls.get(log);
  if (!control) throw new Error("expected a log that createLog made");
  return control;
}

/** A child's bindings are serialized when it is made, before formatters see them. */
function withRedactedChildren(log: Log): Log {
  const makeChild = log.child;
  log.child = function child(this: Log, bindings, options) {
    return makeChild.call(this, redact(bindings) as pino.Bindings, options);
  } as typeof log.child;
  return log;
}

/** pino-pretty is loaded only where a person reads. */
function prettyStream(destination: NodeJS.WritableStream | undefined): pino.DestinationStream {
  const build = createRequire(import.meta.url)("pino-pretty") as (options: PrettyOptions) => pino.DestinationStream;
  return build({
    sync: true,
    destination: (destination ?? 2) as NonNullable<PrettyOptions["destination"]>,
    colorize: destination === undefined && process.stderr.isTTY === true && !process.env.NO_COLOR,
    translateTime: "SYS:yyyy-mm-dd HH:MM:ss.l",
    hideObject: true,
    errorLikeObjectKeys: [],
    messageFormat: (record) => prettyLine(record),
  });
}
