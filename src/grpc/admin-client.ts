import {
  adminService,
  type LogFilterMessage,
  type LogLineMessage,
  type ServerStatusMessage,
  type TailMessage,
} from "./admin-messages.ts";
import { type ClientOptions, ServiceClient } from "./service-client.ts";

/** For those who look after a server. Its errors are the server's own, by code. */
export class AdminClient {
  readonly #client: ServiceClient;

  /** @throws as ServiceClient */
  constructor(options: ClientOptions) {
    this.#client = new ServiceClient(adminService(), options);
  }

  status(): Promise<ServerStatusMessage> {
    return this.#client.call("GetServerStatus", {});
  }

  /** Resolves when the service takes calls. */
  async release(service: string): Promise<void> {
    await this.#client.call("ReleaseService", { service });
  }

  /** @param limit how many lines at most, the newest */
  searchLogs(
    filter: Partial<LogFilterMessage>,
    limit: number,
  ): Promise<{ readonly lines: readonly LogLineMessage[]; readonly cut: boolean }> {
    return this.#client.call("SearchLogs", { filter, limit });
  }

  /** @param last how many lines that are kept come first */
  tailLogs(filter: Partial<LogFilterMessage>, last: number): AsyncGenerator<TailMessage> {
    return this.#client.stream("TailLogs", { filter, last });
  }

  close(): void {
    this.#client.close();
  }
}
