import type { AuditLog } from "../audit/index.ts";
import type { Log } from "../telemetry/index.ts";
import type { ListenerTls } from "./tls.ts";

const LOOK_MS = 2000;
const DAY_MS = 86_400_000;
const SOON_DAYS = 30;

/** Takes new certificate files while the server runs, and says when the present certificate comes to its end. */
export class CertificateWatch {
  readonly #tls: ListenerTls;
  readonly #log: Log;
  readonly #audit: AuditLog;
  readonly #interval: NodeJS.Timeout;
  #remindedDay: number | undefined;

  constructor(tls: ListenerTls, log: Log, audit: AuditLog) {
    this.#tls = tls;
    this.#log = log;
    this.#audit = audit;
    this.#interval = setInterval(() => this.look(), LOOK_MS).unref();
    this.#remind();
  }

  /** Looks at once instead of within two seconds. Never throws: what cannot be used leaves what is in use. */
  look(): void {
    try {
      if (this.#tls.reload()) {
        const { validToDate, fingerprint256 } = this.#tls.certificate;
        const sha256 = fingerprint256.replaceAll(":", "").toLowerCase();
        const expires = validToDate.toISOString();
        this.#log.info({ sha256, expires }, "new TLS certificates are in use");
        this.#audit.record({ event: "tls.reloaded", detail: { sha256, expires } });
        this.#remindedDay = undefined;
      }
    } catch (error) {
      this.#log.error({ err: error }, "the new TLS certificates cannot be used; the ones before them stay in use");
    }
    this.#remind();
  }

  close(): void {
    clearInterval(this.#interval);
  }

  /** Once a day from a month before the end. */
  #remind(): void {
    const { validToDate } = this.#tls.certificate;
    const daysLeft = Math.floor((validToDate.getTime() - Date.now()) / DAY_MS);
    if (daysLeft >= SOON_DAYS || daysLeft === this.#remindedDay) return;
    this.#remindedDay = daysLeft;
    this.#log.warn({ daysLeft, expires: validToDate.toISOString() }, "the server's TLS certificate expires soon");
  }
}
