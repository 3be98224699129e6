import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { createPipe } from "../plugin/index.ts";

const BUFFER_BYTES = 256;

/** A pipe by which a child wakes this process: it writes a byte, and what the byte is does not matter. */
export class Bell {
  /** The child's end, to be inherited. */
  readonly fd: number;
  readonly #socket: Socket;

  /** @param onKnock is told how many bytes came */
  constructor(onKnock: (knocks: number) => void) {
    const { readEnd, writeEnd } = createPipe();
    this.fd = writeEnd;
    // With a buffer of its own, or Node would take 64 KiB for each byte.
    const onread = {
      buffer: Buffer.alloc(BUFFER_BYTES),
      callback: (bytes: number) => {
        onKnock(bytes);
        return true;
      },
    };
    this.#socket = new Socket({ fd: readEnd, readable: true, writable: false, onread });
    this.#socket.on("error", () => {});
    this.#socket.resume();
  }

  /** The child has its end; this process's copy of it is closed. */
  handedOver(): void {
    closeSync(this.fd);
  }

  close(): void {
    this.#socket.destroy();
  }
}
