import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type DataDirectory, resolveListen, type ServerConfig, serviceSettings } from "./config/index.ts";
import { type ServiceEvent, ServiceRunner } from "./engine/index.ts";
import { GrpcServer, verifyBindable } from "./grpc/index.ts";
import type { Ledger } from "./license/index.ts";
import {
  type AuthorizedService,
  authorizeFirst,
  type FirstAuthorization,
  Inference,
  openAccess,
  openHostLedger,
  SecondAuthorization,
  type Service,
} from "./service/index.ts";
import { type Log, openRunLog } from "./telemetry/index.ts";

export interface ServerOptions {
  readonly data: DataDirectory;
  readonly config: ServerConfig;
  readonly log: Log;
}

export interface RunningServer {
  /** `host:port` of the gRPC listener. */
  readonly address: string;
  /** The services' processes, for status and tests. */
  readonly services: readonly Service[];
  /** Not serving, drain, settle the ledger, end the processes. Safe to call twice. */
  stop(): Promise<void>;
  /** Ends everything without waiting for jobs; what they cost stays charged. */
  stopNow(): Promise<void>;
  /** Opens log files anew, after they were rotated. */
  reopenLogs(): void;
}

/** More threads than this in one process help nobody, whatever the license allows. */
const MAX_THREADS = 32;

/**
 * The one place that knows every part. Nothing listens and no library is mapped before first authorization
 * has passed; then parts are started bottom-up, and stopped top-down.
 */
export async function startServer({ data, config, log }: ServerOptions): Promise<RunningServer> {
  const listen = resolveListen(config);
  const access = openAccess({ file: data.accessFile, log });
  const first = await authorize(data);
  const { authorized, ledger } = first;
  reportAuthorization(log, first);

  const runLog = openRunLog(data.runLogFile, log);
  let grpc: GrpcServer | undefined;
  let isStopping = false;
  const services = first.services.map((service) => createService(service));
  const inference = new Inference(services, runLog, log);
  const isReady = () => !isStopping && services.every((service) => service.runner.state === "ready");

  function createService(service: AuthorizedService): Service {
    const { conf, files } = service;
    const settings = serviceSettings(config, conf.name);
    const home = join(data.homesDir, conf.name);
    mkdirSync(home, { recursive: true, mode: 0o700 });
    const runner = new ServiceRunner({
      name: conf.name,
      files: files.inherited,
      config: conf.config,
      inputs: conf.inputs,
      outputs: conf.outputs,
      concurrency: Math.min(conf.limits.concurrency, MAX_THREADS),
      admission: settings.admission,
      maxQueue: settings.maxQueue,
      queueTimeoutMs: settings.queueTimeoutMs,
      slotBytes: settings.slotMiB * 2 ** 20,
      memoryLimitBytes: settings.memoryLimitMiB * 2 ** 20,
      cancelGraceMs: settings.cancelGraceMs,
      startTimeoutMs: settings.startTimeoutMs,
      home,
      onEvent: (event) => {
        reportEvent(log, conf.name, event);
        if (event.type === "state") showHealth();
      },
    });
    return {
      conf,
      runner,
      authorization: new SecondAuthorization(authorized.license, ledger, service),
      callTimeoutMs: settings.callTimeoutMs,
    };
  }

  function showHealth(): void {
    if (!grpc) return;
    for (const { conf, runner } of services) grpc.setServing(conf.name, !isStopping && runner.state === "ready");
    grpc.setServing("", isReady());
    grpc.setServing("inference.GRPCInferenceService", isReady());
  }

  async function release(): Promise<void> {
    await Promise.all(services.map(({ runner }) => runner.stop(0)));
    closeLedger(ledger, log);
    await runLog.close();
  }

  let address: string;
  try {
    await verifyBindable(listen);
    await Promise.all(services.map(({ runner }) => runner.start()));
    grpc = new GrpcServer({
      listen,
      maxMessageBytes: config.maxMessageMiB * 2 ** 20,
      inference,
      access,
      version: packageVersion(),
      isReady,
      log,
    });
    address = await grpc.listen();
  } catch (error) {
    await release();
    throw error;
  }
  showHealth();
  log.info({ address, tls: listen.tls !== null, services: services.map(({ conf }) => conf.name) }, "serving");

  const listener = grpc;
  let stopping: Promise<void> | undefined;
  async function stop(): Promise<void> {
    isStopping = true;
    showHealth();
    log.info({ drainMs: config.drainMs }, "stopping: finishing what runs");
    const closing = listener.startClosing();
    await Promise.all(services.map(({ runner }) => runner.stop(config.drainMs)));
    await listener.close(closing);
    await release();
    log.info("stopped");
  }
  return {
    address,
    services,
    stop: () => {
      stopping ??= stop();
      return stopping;
    },
    stopNow: async () => {
      log.warn("stopping now");
      listener.abort();
      for (const { runner } of services) runner.kill();
      await (stopping ?? release());
    },
    reopenLogs: () => runLog.reopen(),
  };
}

/** First authorization with the ledger opened to write, which only one server of a host can. */
async function authorize(data: DataDirectory): Promise<FirstAuthorization<Ledger>> {
  let ledger: Ledger | undefined;
  try {
    const first = await authorizeFirst(data, async (hostKey) => {
      ledger = await openHostLedger(data, hostKey);
      return ledger;
    });
    const { license } = first.authorized;
    first.ledger.admit(license.licenseId, license.sequence);
    return first;
  } catch (error) {
    ledger?.close();
    throw error;
  }
}

function reportAuthorization(log: Log, { authorized, ledger, services }: FirstAuthorization<Ledger>): void {
  const { license, time, fingerprint } = authorized;
  for (const notice of ledger.notices) log.warn({ notice }, "ledger");
  if (fingerprint.changedTypes.length > 0) {
    log.warn(
      { changed: fingerprint.changedTypes },
      "hardware differs from the license, within its tolerance; renew soon",
    );
  }
  if (time.phase === "grace")
    log.warn({ daysLeft: time.daysLeft }, "the license has expired and runs in its days of grace");
  log.info(
    {
      licenseId: license.licenseId,
      sequence: license.sequence,
      vendor: license.vendor,
      customer: license.customer,
      expires: license.expires,
      services: services.length,
      sealedBytes: services.reduce((sum, { files }) => sum + files.bytes, 0),
    },
    "first authorization passed",
  );
}

function reportEvent(log: Log, service: string, event: ServiceEvent): void {
  switch (event.type) {
    case "state":
      log.info(
        { service, state: event.state, ...("reason" in event ? { reason: event.reason.code } : {}) },
        "service state",
      );
      break;
    case "ended":
      log.error({ service, err: event.error, restartInMs: event.restartInMs }, "the service's process ended");
      break;
    case "output":
      log.info({ service, stream: event.stream, line: event.line }, "plugin output");
  }
}

/** The last thing that may fail when stopping; it must not keep the rest from ending. */
function closeLedger(ledger: Ledger, log: Log): void {
  try {
    ledger.close();
  } catch (error) {
    log.error({ err: error }, "the ledger could not be settled; the next start charges what was leased");
  }
}

function packageVersion(): string {
  const manifest = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
