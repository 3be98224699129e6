import type { Socket } from "node:net";

/** What came to one listener, counted for metrics: connections and their bytes, and what it would not talk to. */
export class ConnectionCounts {
  /** Connections since the start. */
  accepted = 0;
  /** Connections that were ended because of what their clients did, by reason. */
  readonly refused = new Map<string, number>();
  readonly #open = new Set<Socket>();
  #closedReceived = 0;
  #closedSent = 0;

  /** @param socket of TCP, below TLS */
  add(socket: Socket): void {
    this.accepted++;
    this.#open.add(socket);
    socket.once("close", () => {
      this.#open.delete(socket);
      this.#closedReceived += socket.bytesRead;
      this.#closedSent += socket.bytesWritten;
    });
  }

  /** @param reason one of a few words */
  refuse(reason: string): void {
    this.refused.set(reason, (this.refused.get(reason) ?? 0) + 1);
  }

  get open(): number {
    return this.#open.size;
  }

  get receivedBytes(): number {
    return this.#sum(this.#closedReceived, "bytesRead");
  }

  get sentBytes(): number {
    return this.#sum(this.#closedSent, "bytesWritten");
  }

  #sum(closed: number, field: "bytesRead" | "bytesWritten"): number {
    let sum = closed;
    for (const socket of this.#open) sum += socket[field];
    return sum;
  }
}
