import type { ServerWritableStream } from "@grpc/grpc-js";
import type { AuditLog } from "../audit/index.ts";
import { SignetError } from "../errors.ts";
import { type LogLine, levels } from "../logs/index.ts";
import type { Administration, LogQuery, MonitorEvent, ServedService, ServerStatus } from "../monitor/index.ts";
import { quoteName } from "../tensor/index.ts";
import type {
  AdminHandlers,
  LogFilterMessage,
  LogLineMessage,
  MonitorEventMessage,
  ServerStatusMessage,
  ServiceStatusMessage,
  TailMessage,
} from "./admin-messages.ts";
import { answering } from "./call.ts";
import { authenticateAgain, identityNameOf, identityOf, peerOf } from "./call-gate.ts";
import { grpcStatusFromError } from "./errors.ts";
import { LogTail } from "./log-tail.ts";
import { pour } from "./pour.ts";

export interface AdminEdge {
  readonly administration: Administration;
  readonly audit: AuditLog;
}

const DEFAULT_LIMIT = 1000;
const MAX_TEXT = 1000;
const none: LogFilterMessage = {
  ...{ service: "", source: "LOG_SOURCE_UNSPECIFIED", jobId: "", stream: "", level: "", sinceMs: 0, text: "" },
};

const sources = {
  LOG_SOURCE_UNSPECIFIED: "all",
  LOG_SOURCE_SERVICE: "services",
  LOG_SOURCE_PLATFORM: "platform",
} as const;

/** The calls of signet.v1.AdminService: decode, ask, encode. */
export function adminHandlers({ administration, audit }: AdminEdge): AdminHandlers {
  const answer = answering(audit);
  const refused = (call: ServerWritableStream<unknown, unknown>, thrown: unknown) => {
    const { code } = SignetError.from(thrown);
    if (code === "PERMISSION_DENIED") audit.refused({ code, identity: identityNameOf(call), peer: peerOf(call) });
    return grpcStatusFromError(thrown);
  };
  return {
    GetServerStatus: answer(async (call) => encodeStatus(await administration.status(identityOf(call)))),
    ReleaseService: answer(async (call) => {
      await administration.release(identityOf(call), call.request.service);
      return {};
    }),
    SearchLogs: answer(async (call) => {
      const { filter, limit } = call.request;
      const controller = new AbortController();
      call.on("cancelled", () => controller.abort());
      const query = decodeFilter(filter);
      const { signal } = controller;
      const found = await administration.searchLogs(identityOf(call), query, limit || DEFAULT_LIMIT, signal);
      return { lines: found.lines.map(encodeLine), cut: found.isCut };
    }),
    TailLogs: (call) => {
      void pour(call, refused, async function* (): AsyncGenerator<TailMessage> {
        const { filter, last } = call.request;
        const query = decodeFilter(filter);
        const identity = identityOf(call);
        using tail = new LogTail((onLine) => administration.tailLogs(identity, query, onLine));
        call.on("cancelled", () => tail.end());
        const kept = last === 0 ? [] : (await administration.searchLogs(identity, query, last)).lines;
        for (const line of kept) yield { line: encodeLine(line), skipped: 0 };
        for await (const { line, skipped } of tail.after(kept)) {
          const present = authenticateAgain(call);
          if (line === null) continue;
          administration.verifyMaySee(present, line);
          yield { line: encodeLine(line), skipped };
        }
      });
    },
  };
}

/** @throws REQUEST_MALFORMED */
function decodeFilter(message: LogFilterMessage | null): LogQuery {
  const { service, source, jobId: job, stream, level, sinceMs, text } = message ?? none;
  if (typeof source === "number") throw malformed("source", "one that is known", source);
  if (stream !== "" && stream !== "stdout" && stream !== "stderr")
    throw malformed("stream", "stdout or stderr", stream);
  const lowest = levels.find((each) => each === level);
  if (level !== "" && lowest === undefined) throw malformed("level", `one of ${levels.join(", ")}`, level);
  if (text.length > MAX_TEXT) throw malformed("text", `at most ${MAX_TEXT} characters`, `${text.length}`);
  return {
    service,
    source: sources[source],
    filter: {
      job: job || undefined,
      stream: stream === "" ? undefined : stream,
      level: lowest,
      since: sinceMs === 0 ? undefined : timeOf(sinceMs),
      text: text || undefined,
    },
  };
}

function timeOf(ms: number): string {
  const time = new Date(ms);
  if (ms < 0 || Number.isNaN(time.getTime())) throw malformed("since_ms", "a time", ms);
  return time.toISOString();
}

function malformed(field: string, expected: string, found: string | number): SignetError {
  return new SignetError("REQUEST_MALFORMED", `filter.${field}: expected ${expected}, found ${quoteName(`${found}`)}`);
}

function encodeLine({ time, source, service, stream, level, pid, jobs, text }: LogLine): LogLineMessage {
  return {
    timeMs: Date.parse(time),
    source: source === "service" ? "LOG_SOURCE_SERVICE" : "LOG_SOURCE_PLATFORM",
    service: service ?? "",
    stream: stream ?? "",
    level: level ?? "",
    pid: pid ?? 0,
    jobIds: [...jobs],
    text: text.toWellFormed(),
  };
}

function encodeStatus({ license, services, devices, events, ...server }: ServerStatus): ServerStatusMessage {
  const { licenseId, sequence, expires, phase, daysLeft } = license;
  return {
    ...{ version: server.version, startedMs: server.startedMs, uptimeMs: server.uptimeMs, ready: server.isReady },
    license: { licenseId, sequence, expires, phase, daysLeft },
    services: services.map(encodeService),
    devices: devices.map(({ name, model, totalBytes, usedBytes, utilizationPercent, temperatureC, fault }) => ({
      ...{ name, model: model ?? "", totalBytes, usedBytes },
      ...{ utilizationPercent: utilizationPercent ?? -1, temperatureC: temperatureC ?? -1, fault: fault ?? "" },
    })),
    events: events.map(encodeEvent),
  };
}

function encodeService(service: ServedService): ServiceStatusMessage {
  const { name, version, state, pid, running, waiting, concurrency, restarts, stuck, succeeded, failed } = service;
  return {
    ...{ name, version, state, running, waiting, concurrency, restarts, stuck, succeeded, failed },
    pid: pid ?? 0,
    waitsFor: service.waitsFor ?? "",
    devices: [...service.devices],
    peakMemoryBytes: service.peakMemoryBytes,
    peakGpuMemoryBytes: service.peakGpuMemoryBytes,
    memoryBytes: service.memoryBytes,
    memoryLimitBytes: service.memoryLimitBytes,
    endsInARow: service.endsInARow,
    lastError: service.lastError,
    daysLeft: service.daysLeft,
    runsLeft: service.runsLeft ?? -1,
    memoryGrowing: service.isMemoryGrowing,
    failing: service.isFailing,
    jobs: service.jobs,
    logLines: service.logLines.kept,
    logLinesDropped: service.logLines.dropped,
  };
}

function encodeEvent({ service, kind, code, message, first, last, count }: MonitorEvent): MonitorEventMessage {
  return {
    ...{ service, kind, code: code ?? "", message: message.toWellFormed(), count },
    firstMs: Date.parse(first),
    lastMs: Date.parse(last),
  };
}
