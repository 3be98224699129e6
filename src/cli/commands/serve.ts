import { Command, InvalidArgumentError, Option } from "commander";
import {
  type ConfigSource,
  dataDirectory,
  logFormats,
  logLevels,
  parseListen,
  readLaunch,
  verifyLaunch,
} from "../../config/index.ts";
import { errorCatalogue, SignetError } from "../../errors.ts";
import type { RunningServer } from "../../server.ts";
import type { Log } from "../../telemetry/index.ts";
import type { DataFormat } from "../output.ts";

/** How long an orderly end may take after an internal error. Ending needs no job and no disk but the ledger's. */
const INTERNAL_ERROR_STOP_MS = 5000;

interface ServeOptions extends DataFormat {
  readonly data?: string;
  readonly config?: string;
  readonly listen?: string;
  readonly logLevel?: string;
  readonly logFormat?: string;
}

/** `signet serve`: the server, in the foreground, as systemd wants it. */
export function serveCommand(): Command {
  return new Command("serve")
    .description(
      "Verify the license and every library, then serve the licensed services over gRPC, and REST where configured.",
    )
    .helpCommand(false)
    .option("--config <file>", "the configuration (default: signet.yaml in the data directory)")
    .option("--listen <address>", "where to listen for gRPC, instead of what the configuration says", parseAddress)
    .addOption(new Option("--log-level <level>", "the least severe lines that are written").choices(logLevels))
    .addOption(
      new Option("--log-format <format>", "how they are written (default: pretty on a terminal)").choices(logFormats),
    )
    .addHelpText(
      "after",
      `
Reads the license, the pinned roots, the host's key and the usage ledger from
the data directory. No port opens before all of it has been verified; what is
refused is said in one line, with exit code 3.

Signals: SIGTERM or SIGINT stops taking calls, lets running jobs end and settles
the ledger; a second one stops at once. SIGHUP opens log files anew after they
were rotated, and looks at once whether TLS certificates were replaced or
another license installed; without it that takes a few seconds.

An internal error ends the server with exit code 1: it is logged, jobs are cut
off and stay charged, and the ledger is settled. Have it started again.

Example:
  $ signet serve --listen 127.0.0.1:8001`,
    )
    .action(async (_, self: Command) => serve(self.optsWithGlobals()));
}

/** As text, judged here to name the flag; a wrong address in the file is named by the file. */
function parseAddress(text: string): string {
  try {
    parseListen(text);
    return text;
  } catch {
    throw new InvalidArgumentError("Expected ADDRESS:PORT or [IPv6]:PORT with a port up to 65535.");
  }
}

async function serve(options: ServeOptions): Promise<void> {
  // Before anything is read that is worth stealing. In this order: afterwards /proc/self/environ is root's alone.
  verifyLaunch(readLaunch());
  const { protectMemory } = await import("../../plugin/index.ts");
  protectMemory();
  const { loadConfig } = await import("../../config/index.ts");
  const { createLog } = await import("../../telemetry/index.ts");
  const { startServer } = await import("../../server.ts");
  const data = dataDirectory(options.data);
  const config = loadConfig({
    file: options.config ?? data.configFile,
    required: options.config !== undefined,
    overrides: overridesFrom(options),
  });
  const log = createLog(config.log);
  let server: RunningServer | undefined;
  endOnInternalError(log, () => server);
  // A first signal while still starting ends the process by itself: nothing runs yet that would be lost.
  const running = await startServer({ data, config, log });
  server = running;

  let signals = 0;
  const onStop = (signal: NodeJS.Signals) => {
    log.info({ signal }, "signal");
    signals++;
    const stopped = signals === 1 ? running.stop() : running.stopNow();
    stopped.then(
      // Jobs that were cut off are a failure, whichever of the two stops is first to end.
      () => process.exit(signals === 1 ? 0 : 1),
      (error) => {
        log.fatal({ err: error }, "stopping failed");
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", onStop);
  process.on("SIGINT", onStop);
  process.on("SIGHUP", () => {
    running.reopenLogs();
    running.reloadCertificates();
    void running.checkLicense();
  });
}

/**
 * After an error that nobody caught, a promise's included, nothing is known of the state any more: jobs are cut off,
 * the ledger is settled, and whoever started the server starts another. Exit code 1, as for every INTERNAL error.
 */
function endOnInternalError(log: Log, server: () => RunningServer | undefined): void {
  const exit = () => process.exit(errorCatalogue.INTERNAL.exit); // the ledger, if it is still open, settles at exit
  let isEnding = false;
  process.on("uncaughtException", (thrown) => {
    if (isEnding) return; // what follows from the first; the timer ends it
    isEnding = true;
    setTimeout(exit, INTERNAL_ERROR_STOP_MS);
    try {
      log.fatal({ err: thrown }, "internal error; the server ends");
    } catch {
      // The log itself may be what failed.
    }
    const reason = new SignetError("INTERNAL", "an error that nobody caught", { cause: thrown });
    Promise.resolve(server()?.stopNow(reason)).then(exit, exit);
  });
}

function overridesFrom({ listen, logLevel, logFormat }: ServeOptions): NonNullable<ConfigSource["overrides"]> {
  // The schema judges the values; what was not given must be absent, not undefined.
  const given = (object: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
  const log = given({ level: logLevel, format: logFormat });
  return given({ listen, log: Object.keys(log).length === 0 ? undefined : log });
}
