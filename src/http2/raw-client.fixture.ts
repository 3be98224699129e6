import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { onTestFinished } from "vitest";
import {
  CLIENT_PREFACE,
  ErrorCode,
  Flag,
  FRAME_HEAD_BYTES,
  FrameType,
  readUint31,
  readUint32,
  writeFrameHead,
} from "./frames.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import type { ConnectionLimits } from "./limits.ts";
import type { NodeStream } from "./node-stream.ts";
import { Http2Server, type Http2ServerOptions } from "./server.ts";

/** A client that sends whatever frames a test wants, and shows those that come back. */

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export const settingsFrame: Buffer = frame(FrameType.SETTINGS);
/** Ordinary headers of a call, without indices that would change the table. */
export const request: readonly string[] = [
  ...[":method", "POST", ":scheme", "http", ":path", "/test", ":authority", "test"],
  ...["content-type", "application/grpc", "te", "trailers"],
];

export function frame(type: number, flags = 0, streamId = 0, payload: Uint8Array | string = Buffer.alloc(0)): Buffer {
  const bytes = typeof payload === "string" ? Buffer.from(payload, "hex") : Buffer.from(payload);
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  writeFrameHead(head, 0, bytes.length, type, flags, streamId);
  return Buffer.concat([head, bytes]);
}

/** A header block of literals that are not indexed (RFC 7541 section 6.2.2). */
export function block(fields: readonly string[]): Buffer {
  const pieces: Buffer[] = [];
  for (let field = 0; field < fields.length; field += 2) {
    pieces.push(Buffer.of(0), string(fields[field]!), string(fields[field + 1]!));
  }
  return Buffer.concat(pieces);
}

/** Not Huffman-coded, with a length of any size. */
export function string(text: string): Buffer {
  return Buffer.concat([integer(text.length, 7, 0), Buffer.from(text, "latin1")]);
}

export function integer(value: number, prefixBits: number, pattern: number): Buffer {
  const mask = (1 << prefixBits) - 1;
  if (value < mask) return Buffer.of(pattern | value);
  const bytes = [pattern | mask];
  let rest = value - mask;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

/** HEADERS in one frame. @param more flags beside END_HEADERS */
export function headers(streamId: number, fields: readonly string[] = request, more: number = Flag.END_STREAM): Buffer {
  return frame(FrameType.HEADERS, Flag.END_HEADERS | more, streamId, block(fields));
}

export function data(streamId: number, payload: Uint8Array | string, isEnd = true): Buffer {
  return frame(FrameType.DATA, isEnd ? Flag.END_STREAM : 0, streamId, payload);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

export function windowUpdate(streamId: number, bytes: number): Buffer {
  return frame(FrameType.WINDOW_UPDATE, 0, streamId, uint32(bytes));
}

export function setting(id: number, value: number): Buffer {
  const payload = Buffer.concat([Buffer.of(id >>> 8, id), uint32(value)]);
  return frame(FrameType.SETTINGS, 0, 0, payload);
}

/** gRPC's prefix and a message. */
export function message(bytes: Uint8Array | number, announced?: number): Buffer {
  const content = typeof bytes === "number" ? Buffer.alloc(bytes, 7) : Buffer.from(bytes);
  return Buffer.concat([Buffer.of(0), uint32(announced ?? content.length), content]);
}

export class RawClient {
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  /** The headers and trailers of each stream. */
  readonly fields = new Map<number, string[]>();
  isClosed = false;
  readonly #decoder = new HpackDecoder(2 ** 20);
  #rest: Buffer = Buffer.alloc(0);
  #changed: (() => void)[] = [];
  #marks = 0;
  #block: Buffer = Buffer.alloc(0);

  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.setNoDelay(true);
    this.socket.on("data", (chunk: Buffer) => this.#take(chunk));
    this.socket.on("error", () => {});
    this.socket.on("close", () => {
      this.isClosed = true;
      this.#tell();
    });
  }

  send(...frames: readonly Uint8Array[]): this {
    this.socket.write(Buffer.concat(frames));
    return this;
  }

  /** What every client says first. */
  greet(...more: readonly Uint8Array[]): this {
    return this.send(CLIENT_PREFACE, settingsFrame, ...more);
  }

  /** The first frame that fits, now or later. */
  async frame(type: number, fits: (frame: Frame) => boolean = () => true): Promise<Frame> {
    for (;;) {
      const found = this.frames.find((frame) => frame.type === type && fits(frame));
      if (found) return found;
      if (this.isClosed) throw new Error(`the connection was closed without a frame of type ${type}`);
      await new Promise<void>((resolve) => this.#changed.push(resolve));
    }
  }

  async closed(): Promise<void> {
    while (!this.isClosed) await new Promise<void>((resolve) => this.#changed.push(resolve));
  }

  /** Resolves when the server has dealt with everything that was sent: with a ping's answer, or the end. */
  async settled(): Promise<void> {
    const mark = Buffer.from(`mark${String(++this.#marks).padStart(4, "0")}`);
    this.send(frame(FrameType.PING, 0, 0, mark));
    await Promise.race([
      this.frame(FrameType.PING, ({ payload }) => payload.equals(mark)).catch(() => {}),
      this.#goaway(),
    ]);
  }

  /** How the server took it: the code of GOAWAY, else that of RST_STREAM, else the last stream's status, else nothing. */
  async outcome(): Promise<string> {
    await this.settled();
    const last = (type: number) => this.frames.findLast((frame) => frame.type === type);
    const goaway = last(FrameType.GOAWAY);
    if (goaway) return `connection ${codeName(readUint32(goaway.payload, 4))}`;
    const reset = this.frames.find(
      ({ type, payload }) => type === FrameType.RST_STREAM && readUint32(payload, 0) !== 0,
    );
    if (reset) return `stream ${codeName(readUint32(reset.payload, 0))}`;
    return this.fields.size > 0 ? "answered" : "nothing";
  }

  async #goaway(): Promise<void> {
    await this.frame(FrameType.GOAWAY).catch(() => {});
  }

  #take(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= FRAME_HEAD_BYTES) {
      const end = FRAME_HEAD_BYTES + this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < end) break;
      const payload = Buffer.from(this.#rest.subarray(FRAME_HEAD_BYTES, end));
      const received = { type: this.#rest[3]!, flags: this.#rest[4]!, streamId: readUint31(this.#rest, 5), payload };
      this.#rest = this.#rest.subarray(end);
      this.frames.push(received);
      if (received.type === FrameType.HEADERS || received.type === FrameType.CONTINUATION) this.#takeHeaders(received);
    }
    this.#tell();
  }

  #takeHeaders({ flags, streamId, payload }: Frame): void {
    this.#block = Buffer.concat([this.#block, payload]);
    if ((flags & Flag.END_HEADERS) === 0) return;
    const { fields } = this.#decoder.decode(this.#block, 0, this.#block.length);
    this.#block = Buffer.alloc(0);
    this.fields.set(streamId, [...(this.fields.get(streamId) ?? []), ...fields]);
  }

  #tell(): void {
    for (const resolve of this.#changed.splice(0)) resolve();
  }
}

function codeName(code: number): string {
  return Object.entries(ErrorCode).find(([, value]) => value === code)?.[0] ?? `${code}`;
}

export interface Served {
  readonly server: Http2Server;
  readonly port: number;
  /** The streams that were given out, in order. */
  readonly streams: NodeStream[];
  connect(): RawClient;
}

/**
 * A server that answers a stream's end with a status, a header as long as x-answer says, and as many bytes as it got.
 */
export async function useHttp2Server(
  limits: Partial<ConnectionLimits> = {},
  options: Partial<Http2ServerOptions> = {},
): Promise<Served> {
  const server = new Http2Server({ tls: null, limits, ...options });
  const streams: NodeStream[] = [];
  const clients: RawClient[] = [];
  server.on("stream", (stream: NodeStream, { "x-answer": answer = "" }: Record<string, string>) => {
    streams.push(stream);
    const head = { ":status": 200, ...(answer === "" ? {} : { "x-long": "y".repeat(Number(answer)) }) };
    let bytes = 0;
    stream.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    stream.on("end", () => {
      if (bytes === 0) return stream.respond(head, { endStream: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": 0 }));
      stream.respond(head, { waitForTrailers: true });
      stream.write(Buffer.alloc(bytes, 1));
      stream.end();
    });
  });
  server.listen({ port: 0, host: "127.0.0.1" }, () => {});
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    server.destroyConnections();
    for (const client of clients) client.socket.destroy();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no address");
  const { port } = address;
  const connectRaw = () => {
    const client = new RawClient(port);
    clients.push(client);
    return client;
  };
  return { server, port, streams, connect: connectRaw };
}
