import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type DataDirectory,
  resolveGrpcLimits,
  resolveHttpListen,
  resolveListen,
  resolveMetricsListen,
  type ServerConfig,
  serviceSettings,
  unlicensedSettings,
} from "./config/index.ts";
import { type ServiceEvent, ServiceRunner, verifySandbox } from "./engine/index.ts";
import type { SignetError } from "./errors.ts";
import { GrpcServer } from "./grpc/index.ts";
import { HttpServer, MetricsServer } from "./http/index.ts";
import { DRIFT_NEXT, describeDrift, type HostKey, type Ledger, pluginConfigOf } from "./license/index.ts";
import { CertificateWatch, ConnectionCounts, openTls, verifyBindable } from "./listener/index.ts";
import { LogMonitor } from "./logs/index.ts";
import { Metrics } from "./metrics/index.ts";
import { Administration, ServiceMonitor } from "./monitor/index.ts";
import { SealedFiles } from "./plugin/index.ts";
import {
  type AuthorizedService,
  authorizeInstalled,
  CallQuotas,
  type FirstAuthorization,
  HostDevices,
  Inference,
  type InstalledAuthorization,
  JobPlatform,
  LicenseUpkeep,
  LogSettings,
  openAccess,
  openHostAudit,
  openHostLedger,
  ProcessTally,
  prepareWarmUp,
  Repository,
  ResponseCache,
  recordAuthorization,
  recordRefusal,
  recordServiceEvent,
  recordStart,
  SecondAuthorization,
  type Service,
  SharedMemory,
  schedulingOf,
  Tracing,
} from "./service/index.ts";
import { type Log, openRunLog } from "./telemetry/index.ts";

export interface ServerOptions {
  readonly data: DataDirectory;
  readonly config: ServerConfig;
  readonly log: Log;
  /** Another root that NVIDIA's driver is looked for in, for tests. */
  readonly driverRoot?: string;
}

export interface RunningServer {
  /** `host:port` of the gRPC listener. */
  readonly address: string;
  /** `host:port` of the REST listener; null where there is none. */
  readonly httpAddress: string | null;
  /** `host:port` of the metrics listener; null where there is none. */
  readonly metricsAddress: string | null;
  /** What is served now; a renewed license may have others. For status and tests. */
  readonly services: readonly Service[];
  /** Not serving, drain, settle the ledger, end the processes. Safe to call twice. */
  stop(): Promise<void>;
  /**
   * Ends everything without waiting for jobs; what they cost stays charged.
   * @param reason what nobody foresaw and made it end; told to the audit log
   */
  stopNow(reason?: SignetError): Promise<void>;
  /** Opens log files anew, after they were rotated. */
  reopenLogs(): void;
  /** Looks now whether TLS certificates were replaced, and uses them for new connections. */
  reloadCertificates(): void;
  /** Looks now whether another license was installed, and takes it over. Resolves when that is decided. */
  checkLicense(): Promise<void>;
}

/** More threads than this in one process help nobody, whatever the license allows. */
const MAX_THREADS = 32;

/**
 * The one place that knows every part. Nothing listens and no library is mapped before first authorization
 * has passed; then parts are started bottom-up, and stopped top-down.
 */
export async function startServer({ data, config, log, driverRoot }: ServerOptions): Promise<RunningServer> {
  const listen = resolveListen(config);
  const httpListen = resolveHttpListen(config);
  const metricsListen = resolveMetricsListen(config);
  prepareSandbox(log, config);
  const access = openAccess({ file: data.accessFile, log });
  const audit = await openHostAudit(data, log);
  const logs = new LogMonitor({ data, keeping: config.logs, log });
  const sealedFiles = new SealedFiles();
  const installed = await authorize(data, sealedFiles).catch(async (error) => {
    await recordRefusal(audit, error);
    await logs.close();
    throw error;
  });
  const { first } = installed;
  const { ledger } = first;
  reportAuthorization(log, first);
  for (const service of unlicensedSettings(config, first.services)) {
    log.warn({ service }, "the configuration has settings for a service that the license does not name");
  }
  recordAuthorization(audit, "license.authorized", first);

  const runLog = openRunLog(data.runLogFile, log);
  let grpc: GrpcServer | undefined;
  let http: HttpServer | undefined;
  let metrics: MetricsServer | undefined;
  let certificates: CertificateWatch | undefined;
  let isStopping = false;
  const sharedMemory = new SharedMemory({ isEnabled: config.sharedMemory });
  const tracing = new Tracing({ directory: config.traceDir, log, audit });
  const responseCache = new ResponseCache({ maxBytes: config.responseCacheMiB * 2 ** 20 });
  const inference = new Inference({ runLog, log, sharedMemory, tracing, responseCache });
  const repository = new Repository({ inference, audit, drainMs: config.drainMs });
  const processes = new ProcessTally();
  const memoryLimitOf = (name: string) => serviceSettings(config, name).memoryLimitMiB * 2 ** 20;
  const monitor = new ServiceMonitor({
    services: () =>
      inference.services.map((service) => {
        const { name } = service.conf;
        const { success, failures } = inference.statisticsOf(service);
        const { stuckAfterMs } = serviceSettings(config, name);
        const calls = { successes: success.count, failures };
        return { name, runner: service.runner, memoryLimitBytes: memoryLimitOf(name), stuckAfterMs, calls };
      }),
    log,
    onChange: showHealth,
  });
  let platform: JobPlatform | undefined;
  let devices: HostDevices | undefined;
  const isReady = () => !isStopping && inference.isReady;

  function createRunner({ conf, files }: AuthorizedService): ServiceRunner {
    const settings = serviceSettings(config, conf.name);
    const slotBytes = settings.slotMiB * 2 ** 20;
    const home = join(data.homesDir, conf.name);
    mkdirSync(home, { recursive: true, mode: 0o700 });
    return new ServiceRunner({
      name: conf.name,
      files: files.inherited,
      config: pluginConfigOf(conf),
      inputs: conf.inputs,
      outputs: conf.outputs,
      concurrency: Math.min(conf.limits.concurrency, MAX_THREADS),
      admission: settings.admission,
      ...schedulingOf(conf, settings),
      slotBytes,
      memoryLimitBytes: memoryLimitOf(conf.name),
      cancelGraceMs: settings.cancelGraceMs,
      startTimeoutMs: settings.startTimeoutMs,
      quarantineAfter: settings.quarantineAfter,
      home,
      sandbox: settings.sandbox,
      placement: devices?.placementOf(conf, settings),
      idleUnloadMs: settings.idleUnloadMs,
      warmUp: () => prepareWarmUp(settings.warmup, conf, slotBytes),
      onEvent: (event) => {
        if (event.type === "output") logs.takeOutput(conf.name, event);
        else reportEvent(log, conf.name, event);
        monitor.record(conf.name, event);
        recordServiceEvent(audit, conf.name, event);
        processes.record(conf.name, event);
        if (event.type === "state") {
          // Whatever it is, it is not the process any more that the answers came from, or not yet.
          responseCache.clear(conf.name);
          showHealth();
          platform?.resume(conf.name);
        }
      },
    });
  }

  function createService(
    { authorized }: FirstAuthorization<Ledger>,
    service: AuthorizedService,
    runner: ServiceRunner,
  ): Service {
    const { conf } = service;
    const authorization = new SecondAuthorization(authorized.license, ledger, service);
    const settings = serviceSettings(config, conf.name);
    const { callTimeoutMs, responseCache: isCached } = settings;
    return { conf, runner, authorization, callTimeoutMs, isCached, scheduling: schedulingOf(conf, settings) };
  }

  function showHealth(): void {
    if (!grpc) return;
    for (const { conf, runner } of inference.services) {
      // Where every job that runs stands still, nothing that is asked now is answered.
      const { stuck } = monitor.healthOf(conf.name);
      const isStuck = stuck > 0 && stuck === runner.running;
      grpc.setServing(conf.name, !isStopping && runner.isServing && !isStuck);
    }
    grpc.setServing("", isReady());
    grpc.setServing("inference.GRPCInferenceService", isReady());
  }

  async function release(): Promise<void> {
    certificates?.close();
    metrics?.close();
    await Promise.all(inference.services.map(({ runner }) => runner.stop(0)));
    await devices?.close();
    await platform?.close();
    closeLedger(ledger, log);
    monitor.close();
    await runLog.close();
    await tracing.close();
    await audit.close();
    await logs.close();
  }

  /** Bottom-up: files, processes, the ports, and what looks after the license. */
  async function start() {
    await verifyBindable(listen);
    if (httpListen !== null) await verifyBindable(httpListen);
    if (metricsListen !== null) await verifyBindable(metricsListen);
    const tls = openTls(listen);
    const { jobs: settings } = config;
    const jobPlatform = await JobPlatform.open({ settings, directory: data.jobsDir, host: ledger.id, inference, log });
    platform = jobPlatform;
    const { store, owner } = jobPlatform;
    const hostDevices = await HostDevices.open({ store, owner, log, root: driverRoot });
    devices = hostDevices;
    inference.replaceServices(first.services.map((service) => createService(first, service, createRunner(service))));
    await Promise.all(inference.services.map(({ runner }) => runner.start()));
    const edge = {
      tls,
      maxMessageBytes: config.maxMessageMiB * 2 ** 20,
      inference,
      jobs: jobPlatform.jobs,
      repository,
      sharedMemory,
      tracing,
      logSettings: new LogSettings({ log, audit }),
      access,
      quotas: new CallQuotas(),
      audit,
      log,
      version: packageVersion(),
      isReady,
      administration: new Administration({
        ...{ inference, repository, processes, monitor, logs, isReady, memoryLimitOf, version: packageVersion() },
        license: () => upkeep.license,
        nowMs: () => ledger.nowMs,
        devices: () => hostDevices.gpus,
        peakUseOf: (service) => hostDevices.peakUseOf(service),
        jobs: () => jobPlatform.store.load(),
      }),
    };
    const connections = { grpc: new ConnectionCounts(), rest: new ConnectionCounts(), metrics: new ConnectionCounts() };
    const listener = new GrpcServer({
      ...edge,
      listen,
      transport: config.transport,
      limits: resolveGrpcLimits(config),
      reflection: config.reflection,
      connections: connections.grpc,
    });
    grpc = listener;
    if (httpListen !== null) {
      const web = { origins: config.http?.origins ?? [], web: listener.web };
      http = new HttpServer({ ...edge, ...web, listen: httpListen, connections: connections.rest });
    }
    if (tls !== null) certificates = new CertificateWatch(tls, log, audit);
    const upkeep = new LicenseUpkeep(installed, {
      ...{ data, log, ledger, sealedFiles, inference, createRunner, createService, admit },
      onChange: async (removed) => {
        for (const name of removed) listener.forgetService(name);
        showHealth();
        jobPlatform.licenseChanged();
      },
      onRenewed: (renewed) => recordAuthorization(audit, "license.renewed", renewed),
      onRefused: (error) => recordRefusal(audit, error),
      onWarning: ({ licenseId }, message) => {
        audit.record({ event: "license.warning", detail: { licenseId, message } });
      },
    });
    if (metricsListen !== null) {
      const { tally: jobTally } = jobPlatform;
      const collected = new Metrics({
        ...edge,
        ...{ jobTally, ledger, upkeep, processes, monitor, logs, memoryLimitOf, connections },
        devices: hostDevices,
      });
      metrics = new MetricsServer({
        ...edge,
        listen: metricsListen,
        metrics: collected,
        connections: connections.metrics,
      });
    }
    const address = await listener.listen();
    const httpAddress = (await http?.listen()) ?? null;
    const metricsAddress = (await metrics?.listen()) ?? null;
    const facts = { address, http: httpAddress, metrics: metricsAddress, tls: tls !== null, version: packageVersion() };
    await recordStart(audit, data, facts);
    await upkeep.start();
    await jobPlatform.start();
    monitor.start();
    return { address, httpAddress, metricsAddress, listener, upkeep };
  }

  const { address, httpAddress, metricsAddress, listener, upkeep } = await start().catch(async (error) => {
    grpc?.abort();
    http?.abort();
    await release();
    throw error;
  });
  // Last: who reads it may stop the server at once, and that must be in order.
  showHealth();
  const serving = inference.services.map(({ conf }) => conf.name);
  const listening = { address, http: httpAddress, metrics: metricsAddress, tls: listen.tls !== null };
  log.info({ ...listening, services: serving }, "serving");

  let stopping: Promise<void> | undefined;
  async function stop(): Promise<void> {
    isStopping = true;
    showHealth();
    log.info({ drainMs: config.drainMs }, "stopping: finishing what runs");
    platform?.stop();
    const closing = listener.startClosing();
    const closingHttp = http?.startClosing();
    await Promise.all([
      upkeep.stop(config.drainMs),
      ...inference.services.map(({ runner }) => runner.stop(config.drainMs)),
    ]);
    await Promise.all([listener.close(closing), closingHttp && http?.close(closingHttp)]);
    audit.record({ event: "server.stopped" });
    await release();
    log.info("stopped");
  }
  return {
    address,
    httpAddress,
    metricsAddress,
    get services() {
      return inference.services;
    },
    stop: () => {
      stopping ??= stop();
      return stopping;
    },
    stopNow: async (reason) => {
      log.warn("stopping now");
      if (reason !== undefined) audit.record({ event: "server.stopped", code: reason.code });
      listener.abort();
      http?.abort();
      metrics?.close();
      upkeep.kill();
      for (const { runner } of inference.services) runner.kill();
      await (stopping ?? release());
    },
    reopenLogs: () => {
      runLog.reopen();
      logs.reopen();
    },
    reloadCertificates: () => certificates?.look(),
    checkLicense: () => upkeep.check(),
  };
}

/** First authorization with the ledger opened to write, which only one server of a host can. */
async function authorize(data: DataDirectory, sealedFiles: SealedFiles): Promise<InstalledAuthorization<Ledger>> {
  let ledger: Ledger | undefined;
  const ledgerOf = async (hostKey: HostKey) => {
    ledger ??= await openHostLedger(data, hostKey);
    return ledger;
  };
  try {
    const installed = await authorizeInstalled(data, ledgerOf, sealedFiles);
    admit(installed.first);
    return installed;
  } catch (error) {
    ledger?.close();
    throw error;
  }
}

/** From now on nothing older is accepted on this host. @throws LICENSE_SUPERSEDED, LEDGER_UNWRITABLE */
function admit({ authorized, ledger, revocationLists }: FirstAuthorization<Ledger>): void {
  ledger.admit(authorized.license.licenseId, authorized.license.sequence);
  ledger.admitRevocations(revocationLists);
}

/** @throws SANDBOX_UNAVAILABLE, because a plugin must not run with less around it than the configuration says. */
function prepareSandbox(log: Log, { defaults, services }: ServerConfig): void {
  const ofServices = Object.values(services).map(({ sandbox = defaults.sandbox }) => sandbox);
  const asked = new Set([defaults.sandbox, ...ofServices]);
  if (!asked.has("seccomp") && !asked.has("bwrap")) return;
  const { landlock } = verifySandbox(asked.has("bwrap") ? "bwrap" : "seccomp");
  // With bubblewrap, files are kept apart without Landlock too.
  if (landlock > 0 || !asked.has("seccomp")) log.info({ landlock, sandboxes: [...asked] }, "plugins run in a sandbox");
  else log.warn("plugins run in a sandbox, but this kernel has no Landlock: they can read what this user can read");
}

function reportAuthorization(log: Log, { authorized, ledger, services }: FirstAuthorization<Ledger>): void {
  const { license, fingerprint } = authorized;
  for (const notice of ledger.notices) log.warn({ notice }, "ledger");
  const drift = describeDrift(fingerprint);
  if (drift !== null) log.warn({ changed: fingerprint.changedTypes, next: DRIFT_NEXT }, drift);
  log.info(
    {
      licenseId: license.licenseId,
      sequence: license.sequence,
      kind: license.kind,
      vendor: license.vendor,
      customer: license.customer,
      expires: license.expires,
      services: services.length,
      sealedBytes: services.reduce((sum, { files }) => sum + files.bytes, 0),
    },
    "first authorization passed",
  );
}

function reportEvent(log: Log, service: string, event: Exclude<ServiceEvent, { type: "output" }>): void {
  switch (event.type) {
    case "state":
      log.info(
        { service, state: event.state, ...("reason" in event ? { reason: event.reason.code } : {}) },
        "service state",
      );
      break;
    case "ended":
      log.error({ service, err: event.error, restartInMs: event.restartInMs }, "the service's process ended");
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
