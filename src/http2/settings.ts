import { ConnectionError } from "./connection-error.ts";
import {
  DEFAULT_MAX_FRAME_BYTES,
  DEFAULT_WINDOW_BYTES,
  ErrorCode,
  LARGEST_MAX_FRAME_BYTES,
  MAX_WINDOW_BYTES,
  readUint32,
  Setting,
  writeUint32,
} from "./frames.ts";
import { DEFAULT_TABLE_BYTES } from "./hpack-tables.ts";
import type { ConnectionLimits } from "./limits.ts";

/** What the client wants from us (RFC 9113 section 6.5.2). Its limits on streams concern pushes, which we never send. */
export interface ClientSettings {
  headerTableBytes: number;
  initialWindowBytes: number;
  maxFrameBytes: number;
}

export function defaultClientSettings(): ClientSettings {
  return {
    headerTableBytes: DEFAULT_TABLE_BYTES,
    initialWindowBytes: DEFAULT_WINDOW_BYTES,
    maxFrameBytes: DEFAULT_MAX_FRAME_BYTES,
  };
}

const SETTING_BYTES = 6;

/** Applies a SETTINGS payload, in its order; unknown settings are ignored. @throws ConnectionError */
export function applySettings(settings: ClientSettings, payload: Buffer, start: number, end: number): void {
  if ((end - start) % SETTING_BYTES !== 0) {
    throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS: expected six bytes for each");
  }
  for (let at = start; at < end; at += SETTING_BYTES) {
    const value = readUint32(payload, at + 2);
    switch ((payload[at]! << 8) | payload[at + 1]!) {
      case Setting.HEADER_TABLE_SIZE:
        settings.headerTableBytes = value;
        break;
      case Setting.ENABLE_PUSH:
        if (value > 1) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "SETTINGS_ENABLE_PUSH: expected 0 or 1");
        break;
      case Setting.INITIAL_WINDOW_SIZE:
        if (value > MAX_WINDOW_BYTES) {
          throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE: expected 31 bits");
        }
        settings.initialWindowBytes = value;
        break;
      case Setting.MAX_FRAME_SIZE:
        if (value < DEFAULT_MAX_FRAME_BYTES || value > LARGEST_MAX_FRAME_BYTES) {
          throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "SETTINGS_MAX_FRAME_SIZE: expected 16,384 to 2^24 - 1");
        }
        settings.maxFrameBytes = value;
    }
  }
}

/** Our own, as a payload. The header table keeps its default size. */
export function encodeSettings(limits: ConnectionLimits): Buffer {
  const settings: readonly (readonly [id: number, value: number])[] = [
    [Setting.MAX_CONCURRENT_STREAMS, limits.maxConcurrentStreams],
    [Setting.INITIAL_WINDOW_SIZE, limits.streamWindowBytes],
    [Setting.MAX_FRAME_SIZE, limits.maxFrameBytes],
    [Setting.MAX_HEADER_LIST_SIZE, limits.maxHeaderListBytes],
  ];
  const payload = Buffer.alloc(settings.length * SETTING_BYTES);
  for (const [index, [id, value]] of settings.entries()) {
    payload[index * SETTING_BYTES + 1] = id;
    writeUint32(payload, index * SETTING_BYTES + 2, value);
  }
  return payload;
}
