import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { CHANNEL_FD } from "./protocol.ts";

/** The largest message: a plugin's two descriptions of 1 MiB, every character of them written as an escape. */
const MAX_MESSAGE_BYTES = 16 * 2 ** 20;
const LF = 0x0a;

export interface ChannelEvents {
  /**
   * A message of any shape: whatever JSON can say. What this throws is the caller's own error, not the other side's.
   */
  onMessage(message: unknown): void;
  /** The other side wrote what is no message; the channel reads nothing more. */
  onBroken(reason: string): void;
  /** Nothing more will come. Called once, after the last message. */
  onEnd(): void;
}

/**
 * Messages as lines of JSON between the gateway and a child. Node's own channel of fork() is not used: it takes
 * what the child writes for Node's, so that a plugin that writes to that descriptor could end the gateway with a
 * line that is not JSON, with a message of Node's internals, or with a line that never ends.
 */
export class Channel<Sent> {
  readonly #stream: Duplex;
  readonly #events: ChannelEvents;
  #parts: Buffer[] = [];
  #waitingBytes = 0;
  #isOver = false;

  constructor(stream: Duplex, events: ChannelEvents) {
    this.#stream = stream;
    this.#events = events;
    stream.on("data", (chunk: Buffer) => this.#take(chunk));
    // Writing to a child that is gone fails; that it is gone is told by its exit.
    stream.on("error", () => {});
    stream.once("close", () => events.onEnd());
  }

  /** @param onSent called when the kernel has the message, or cannot take it any more */
  send(message: Sent, onSent?: () => void): void {
    this.#stream.write(`${JSON.stringify(message)}\n`, () => onSent?.());
  }

  /** Reads nothing more, even if somebody still holds the other end. */
  close(): void {
    this.#isOver = true;
    this.#stream.destroy();
  }

  #take(chunk: Buffer): void {
    for (let start = 0; !this.#isOver && start < chunk.length; ) {
      const end = chunk.indexOf(LF, start);
      const part = chunk.subarray(start, end < 0 ? chunk.length : end);
      this.#waitingBytes += part.length;
      if (this.#waitingBytes > MAX_MESSAGE_BYTES) {
        this.#break(`a message of more than ${MAX_MESSAGE_BYTES} bytes`);
        return;
      }
      this.#parts.push(part);
      if (end < 0) return;
      const line = Buffer.concat(this.#parts).toString("utf8");
      this.#parts = [];
      this.#waitingBytes = 0;
      start = end + 1;
      let message: unknown;
      try {
        message = JSON.parse(line);
      } catch {
        this.#break("a message that is not JSON");
        return;
      }
      this.#events.onMessage(message);
    }
  }

  #break(reason: string): void {
    this.#parts = [];
    this.close();
    this.#events.onBroken(reason);
  }
}

/** The child's end of the channel to the process that started it. */
export function openParentChannel<Sent>(events: ChannelEvents): Channel<Sent> {
  return new Channel(new Socket({ fd: CHANNEL_FD, readable: true, writable: true }), events);
}
