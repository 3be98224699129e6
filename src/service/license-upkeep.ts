import type { License } from "../license/index.ts";
import type { InstalledAuthorization } from "./installed-authorization.ts";
import { LicenseReminders } from "./license-reminders.ts";
import { LicenseWatch } from "./license-watch.ts";
import { LicenseRenewal, type RenewalParts } from "./renewal.ts";
import { removeServingState, writeServingState } from "./serving-state.ts";

export interface LicenseUpkeepParts extends RenewalParts {
  onWarning(license: License, message: string): void;
}

/** How often to look whether there is something to be warned of. */
const REMIND_MS = 5000;

/**
 * All that a server does about its license while it runs: notices another, takes it over, warns, and tells commands.
 */
export class LicenseUpkeep {
  readonly #parts: LicenseUpkeepParts;
  readonly #renewal: LicenseRenewal;
  readonly #reminders: LicenseReminders;
  #watch: LicenseWatch | undefined;
  #reminding: NodeJS.Timeout | undefined;

  constructor(installed: InstalledAuthorization<RenewalParts["ledger"]>, parts: LicenseUpkeepParts) {
    this.#parts = parts;
    this.#reminders = new LicenseReminders(parts.ledger, parts.log, parts.onWarning);
    const onChange = async (removed: readonly string[]) => {
      await parts.onChange(removed);
      this.#remind();
      await this.#tell();
    };
    this.#renewal = new LicenseRenewal(installed, { ...parts, onChange });
  }

  async start(): Promise<void> {
    this.#remind();
    await this.#tell();
    this.#reminding = setInterval(() => this.#remind(), REMIND_MS);
    this.#reminding.unref();
    this.#watch = new LicenseWatch(this.#parts.data, () => void this.#renewal.check());
  }

  /** In force. */
  get license(): License {
    return this.#renewal.inForce.authorized.license;
  }

  /** Whether the installed license is another one, which was refused. */
  get isRenewalRefused(): boolean {
    return this.#renewal.state.refused !== null;
  }

  /** Looks now whether another license was installed. Resolves when that is decided; never rejects. */
  check(): Promise<void> {
    return this.#renewal.check();
  }

  /** Takes no license over any more, and lets what a renewal replaced drain within `drainMs`. */
  async stop(drainMs: number): Promise<void> {
    this.#stopLooking();
    await this.#renewal.stop(drainMs);
    removeServingState(this.#parts.data);
  }

  /** The same without waiting for jobs. */
  kill(): void {
    this.#stopLooking();
    this.#renewal.kill();
  }

  #stopLooking(): void {
    this.#watch?.close();
    clearInterval(this.#reminding);
  }

  #remind(): void {
    this.#reminders.check(this.license);
  }

  async #tell(): Promise<void> {
    const { data, log } = this.#parts;
    try {
      await writeServingState(data, this.#renewal.state);
    } catch (error) {
      log.warn({ err: error }, "which license is in force cannot be written down for commands");
    }
  }
}
