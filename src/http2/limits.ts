import { LARGEST_MAX_FRAME_BYTES, MAX_WINDOW_BYTES } from "./frames.ts";

/**
 * Everything that a client could otherwise have without end. Each has a default that no well-meaning gRPC client
 * comes near to, with the reason.
 */
export interface ConnectionLimits {
  /** Calls that are open at a time; further ones are refused, which clients take as "try again". */
  readonly maxConcurrentStreams: number;
  /**
   * What a client may send on a stream before it hears from us. No promise to hold it: messages are counted against
   * the memory budget as they come, and those of a refused call are not kept at all.
   */
  readonly streamWindowBytes: number;
  /** The same for a connection; what came is given back at once, so that a slow call does not hold up others. */
  readonly connectionWindowBytes: number;
  /** The largest frame that is read; 16,384 to 2^24 - 1. Content is taken as it comes, never a frame at a time. */
  readonly maxFrameBytes: number;
  /** Of one header list, as SETTINGS_MAX_HEADER_LIST_SIZE counts. More ends the call. */
  readonly maxHeaderListBytes: number;
  /** Of one compressed header block. More ends the connection, for skipping it would lose the table. At most 64 KiB. */
  readonly maxHeaderBlockBytes: number;
  /** Frames that one header block may be spread over (CVE-2024-27316 and its relatives). */
  readonly maxContinuations: number;
  /** Received messages, parts of them, and answers that wait for the client, that one connection may have in memory. */
  readonly maxHeldBytes: number;
  /**
   * What may wait for the socket before content waits in its stream instead. Where headers and control frames make
   * twice as much, the client sends and does not read: then nothing more of it is read either.
   */
  readonly socketBacklogBytes: number;
  /** From accepting a connection to the client's SETTINGS, TLS included, and from a header block's begin to its end. */
  readonly handshakeMs: number;
  /**
   * How long a message that has begun may not move, in or out, before its call is ended; and after that time it must
   * have come at a thousand bytes a second.
   */
  readonly stallMs: number;
  /** Silence after which a ping asks whether the client is still there; 0 never asks. */
  readonly keepAliveMs: number;
  /** How long the answer to that may take. */
  readonly keepAliveTimeoutMs: number;
  /** A connection that has had no call for so long is asked to leave; 0 keeps it. */
  readonly maxIdleMs: number;
  /** A connection that has lived so long, give or take a tenth, is asked to leave; 0 keeps it. For load balancing. */
  readonly maxAgeMs: number;
  /** How often times are looked at; the precision of all of them. */
  readonly sweepMs: number;
}

export const defaultLimits: ConnectionLimits = Object.freeze({
  maxConcurrentStreams: 1024,
  streamWindowBytes: 8 * 2 ** 20, // 160 MB/s at a round trip of 50 ms
  connectionWindowBytes: 64 * 2 ** 20,
  maxFrameBytes: 2 ** 20,
  maxHeaderListBytes: 32 * 1024, // gRPC's own are below 8 KiB, tokens of 4 KiB included
  maxHeaderBlockBytes: 64 * 1024,
  maxContinuations: 16,
  maxHeldBytes: 512 * 2 ** 20,
  socketBacklogBytes: 2 ** 20,
  handshakeMs: 10_000,
  stallMs: 120_000,
  keepAliveMs: 60_000,
  keepAliveTimeoutMs: 20_000,
  maxIdleMs: 0,
  maxAgeMs: 0,
  sweepMs: 1000,
});

/** Complete limits, within what HTTP/2 can say. */
export function resolveLimits(limits: Partial<ConnectionLimits> = {}): ConnectionLimits {
  const all = { ...defaultLimits, ...limits };
  return Object.freeze({
    ...all,
    streamWindowBytes: Math.min(all.streamWindowBytes, MAX_WINDOW_BYTES),
    connectionWindowBytes: Math.min(all.connectionWindowBytes, MAX_WINDOW_BYTES),
    maxFrameBytes: Math.min(all.maxFrameBytes, LARGEST_MAX_FRAME_BYTES),
  });
}
