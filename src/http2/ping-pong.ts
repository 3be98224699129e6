/** Called with the answer to a ping, or with the reason why there will be none. */
export type PingDone = (error: Error | null, durationMs: number) => void;

/** The pings that we sent on one connection and that are not answered. Answers come in the order of the pings. */
export class PingPong {
  readonly #sent: { readonly sentMs: number; readonly done: PingDone }[] = [];

  /** When the oldest was sent, or infinity. */
  get oldestMs(): number {
    return this.#sent[0]?.sentMs ?? Number.POSITIVE_INFINITY;
  }

  sent(nowMs: number, done: PingDone): void {
    this.#sent.push({ sentMs: nowMs, done });
  }

  answered(nowMs: number): void {
    const ping = this.#sent.shift();
    ping?.done(null, nowMs - ping.sentMs);
  }

  abandon(): void {
    for (const { done } of this.#sent.splice(0)) done(new Error("the connection has ended"), 0);
  }
}
