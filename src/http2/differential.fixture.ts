import { once } from "node:events";
import { createServer, type Http2Server as NodeServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { Flag, FrameType, readUint32, Setting } from "./frames.ts";
import type { NodeStream } from "./node-stream.ts";
import {
  block,
  data,
  frame,
  headers,
  integer,
  message,
  RawClient,
  request,
  setting,
  string,
  uint32,
  windowUpdate,
} from "./raw-client.fixture.ts";
import { Http2Server } from "./server.ts";

/** The same frames to our server and to node:http2, and what each made of them. */

export interface Outcome {
  /** `ok`, or the code of the GOAWAY or of the end without one. */
  readonly connection: string;
  /** What the GOAWAY says in words. */
  readonly words: string;
  /** By stream: its status, `reset`, or nothing. */
  readonly streams: Readonly<Record<number, string>>;
}

/** Numbers that follow from a seed alone. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed * 2_654_435_761 + 1) >>> 0;
  }

  below(limit: number): number {
    this.#state = (Math.imul(this.#state ^ (this.#state >>> 15), 2_246_822_519) + 0x9e37_79b9) >>> 0;
    return Math.floor(((this.#state ^ (this.#state >>> 13)) >>> 0) % limit);
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)]!;
  }
}

const { END_STREAM, END_HEADERS, PADDED, PRIORITY } = Flag;
const extraFields: readonly (readonly string[])[] = [
  ["x-name", "value"],
  ["x-empty", ""],
  ["cookie", "a=1", "cookie", "b=2"],
  ["content-length", "8"],
  ["content-length", "0"],
  ["connection", "close"],
  ["te", "gzip"],
  [":path", "/again"],
  ["X-Capital", "x"],
  ["x-high", "\xff\xfe"],
  ["x-long", "y".repeat(300)],
];

export interface Drawn {
  readonly frames: readonly Buffer[];
  /** Whether a byte was changed for another. */
  readonly isDamaged: boolean;
}

/** Frames that mostly make sense: where each broke a rule, only the first would be looked at. */
export function drawFrames(dice: Dice): Drawn {
  const frames: Buffer[] = [];
  const begun: number[] = [];
  let next = 1;
  const rarely = () => dice.below(20) === 0;
  const anyId = () => (rarely() || begun.length === 0 ? dice.pick([0, 2, next, next + 2]) : dice.pick(begun));
  for (let count = 3 + dice.below(10); count > 0; count--) {
    const kind = dice.below(30);
    if (kind < 10 || begun.length === 0) {
      const id = rarely() ? anyId() : next;
      if (id === next) {
        begun.push(id);
        next += 2;
      }
      frames.push(drawHeaders(dice, id, [...request, ...(dice.below(4) === 0 ? dice.pick(extraFields) : [])]));
    } else if (kind < 18) {
      frames.push(drawData(dice, anyId()));
    } else if (kind < 21) {
      frames.push(windowUpdate(dice.pick([0, anyId()]), rarely() ? dice.pick([0, 2 ** 31 - 1]) : 1 + dice.below(1000)));
    } else if (kind < 23) {
      frames.push(frame(FrameType.RST_STREAM, 0, anyId(), uint32(dice.pick([0, 8, 999]))));
    } else if (kind < 25) {
      const value = rarely() ? dice.pick([2, 2 ** 24, 2 ** 31]) : dice.pick([0, 1]) * 16_384;
      const id = dice.pick([Setting.HEADER_TABLE_SIZE, Setting.INITIAL_WINDOW_SIZE, Setting.MAX_HEADER_LIST_SIZE, 99]);
      frames.push(setting(rarely() ? Setting.MAX_FRAME_SIZE : id, value));
    } else if (kind < 26) {
      frames.push(frame(FrameType.PRIORITY, 0, anyId(), rarely() ? "00" : "000000ff10"));
    } else if (kind < 28) {
      frames.push(frame(dice.pick([0x20, 0xfa]), dice.below(256), anyId(), Buffer.alloc(dice.below(20))));
    } else if (kind < 29) {
      frames.push(frame(FrameType.PING, 0, rarely() ? 1 : 0, Buffer.alloc(rarely() ? 7 : 8)));
    } else {
      const late = frame(FrameType.CONTINUATION, END_HEADERS, anyId(), block(["x", "y"]));
      frames.push(rarely() ? late : frame(FrameType.PING, 0, 0, Buffer.alloc(8)));
    }
  }
  const isDamaged = dice.below(4) === 0;
  if (isDamaged) {
    const victim = dice.pick(frames);
    // Not the length: the rest would be read as something else, or waited for.
    victim[3 + dice.below(victim.length - 3)] = dice.below(256);
  }
  return { frames, isDamaged };
}

function drawHeaders(dice: Dice, id: number, fields: readonly string[]): Buffer {
  const end = dice.pick([0, 0, END_STREAM]);
  const bytes = dice.below(3) === 0 ? indexedBlock(fields) : block(fields);
  switch (dice.below(6)) {
    case 0: {
      const cut = dice.below(bytes.length);
      const first = frame(FrameType.HEADERS, end, id, bytes.subarray(0, cut));
      return Buffer.concat([first, frame(FrameType.CONTINUATION, END_HEADERS, id, bytes.subarray(cut))]);
    }
    case 1: {
      const padding = dice.below(10);
      const payload = Buffer.concat([Buffer.of(padding), bytes, Buffer.alloc(padding)]);
      return frame(FrameType.HEADERS, end | END_HEADERS | PADDED, id, payload);
    }
    case 2:
      return frame(
        FrameType.HEADERS,
        end | END_HEADERS | PRIORITY,
        id,
        Buffer.concat([Buffer.of(0, 0, 0, 0, 15), bytes]),
      );
    default:
      return headers(id, fields, end);
  }
}

/** The first field is put into the table, so that blocks that follow may refer to it, or to nothing. */
function indexedBlock(fields: readonly string[]): Buffer {
  const last = Buffer.concat([Buffer.of(0x40), string("x-indexed"), string("yes")]);
  return Buffer.concat([block(fields), last, integer(62, 7, 0x80)]);
}

function drawData(dice: Dice, id: number): Buffer {
  const content = dice.pick([message(3), message(0), Buffer.alloc(0), message(12_000), message(3).subarray(0, 4)]);
  const end = dice.pick([0, END_STREAM, END_STREAM]);
  if (dice.below(4) > 0) return data(id, content, end > 0);
  return frame(
    FrameType.DATA,
    end | PADDED,
    id,
    Buffer.concat([Buffer.of(3), content, Buffer.alloc(dice.pick([3, 3, 2]))]),
  );
}

/** node:http2 with the handler of `useHttp2Server`, in as far as it shows. */
export async function startNodeServer(): Promise<{ port: number; server: NodeServer }> {
  const server = createServer({ settings: { maxFrameSize: 2 ** 20, maxConcurrentStreams: 1024 } });
  server.on("sessionError", () => {});
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => {});
    stream.resume();
    stream.on("end", () => {
      // Between the end and this turn the stream may have been destroyed, which Node says only by throwing.
      if (!stream.destroyed && !stream.closed) stream.respond({ ":status": 200 }, { endStream: true });
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, server };
}

/** Our server, which answers as late as Node does, so that frames that follow find the same. */
export async function startOwnServer(): Promise<{ port: number; server: Http2Server }> {
  const server = new Http2Server({ tls: null });
  server.on("stream", (stream: NodeStream) => {
    stream.on("data", () => {});
    stream.on("end", () => setTimeout(() => stream.respond({ ":status": 200 }, { endStream: true }), 1));
  });
  server.listen({ port: 0, host: "127.0.0.1" }, () => {});
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, server };
}

/** Sends the frames on a connection of their own. */
export async function tryFrames(port: number, frames: readonly Buffer[]): Promise<Outcome> {
  const client = new RawClient(port);
  client.greet(...frames);
  // Node answers some turns of its event loop later.
  for (let round = 0; round < 3 && !client.isClosed; round++) {
    await client.settled();
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  const goaway = client.frames.find(({ type }) => type === FrameType.GOAWAY);
  const code = goaway ? readUint32(goaway.payload, 4) : client.isClosed ? -1 : 0;
  const streams: Record<number, string> = {};
  for (const { type, streamId, payload } of client.frames) {
    if (type === FrameType.RST_STREAM && readUint32(payload, 0) !== 0) streams[streamId] = "reset";
  }
  for (const [streamId, fields] of client.fields) streams[streamId] ??= fields[1]!;
  client.socket.destroy();
  return {
    connection: code === 0 ? "ok" : `error ${code}`,
    words: goaway?.payload.toString("latin1", 8) ?? "",
    streams,
  };
}
