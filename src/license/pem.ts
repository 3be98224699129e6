/** Why a text is not the PEM that was expected; the caller turns it into its own coded error. */
export class PemError extends Error {}

export interface PemBlock {
  readonly label: string;
  readonly bytes: Buffer;
}

const MAX_BLOCKS = 8;
const boundary = /^-----(BEGIN|END) ([A-Z0-9][A-Z0-9 ]{0,63})-----$/;
const base64Pattern = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Base64 that has exactly one spelling: the standard alphabet, padding present, unused bits zero. */
export function parseBase64(text: string): Buffer | undefined {
  if (!base64Pattern.test(text)) return undefined;
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? bytes : undefined;
}

/**
 * Strict PEM: nothing outside the blocks but empty lines, lines of 64 characters, LF or CRLF. Text between
 * blocks would be a place where a file differs without its signature noticing. Throws PemError.
 */
export function parsePem(file: Uint8Array): PemBlock[] {
  if (file.some((byte) => byte > 0x7e)) throw new PemError("a character that is not ASCII");
  const lines = Buffer.from(file).toString("latin1").split("\n");
  const blocks: PemBlock[] = [];
  let open: { label: string; body: string[] } | undefined;
  for (const [index, raw] of lines.entries()) {
    const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
    const [, mark, label = ""] = boundary.exec(line) ?? [];
    if (open === undefined && line === "") continue;
    if (open === undefined && mark === "BEGIN") {
      open = { label, body: [] };
    } else if (open !== undefined && mark === "END" && label === open.label) {
      blocks.push({ label, bytes: decodeBody(open.body, index) });
      if (blocks.length > MAX_BLOCKS) throw new PemError(`more than ${MAX_BLOCKS} blocks`);
      open = undefined;
    } else if (open !== undefined && mark === undefined) {
      open.body.push(line);
    } else {
      throw new PemError(`unexpected text in line ${index + 1}`);
    }
  }
  if (open !== undefined) throw new PemError(`no end of the block ${open.label}`);
  return blocks;
}

export function formatPem(label: string, bytes: Uint8Array): string {
  const body = Buffer.from(bytes)
    .toString("base64")
    .replaceAll(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----\n`;
}

function decodeBody(lines: string[], endLine: number): Buffer {
  const ragged = lines.slice(0, -1).some((line) => line.length !== 64) || (lines.at(-1)?.length ?? 0) > 64;
  const bytes = ragged ? undefined : parseBase64(lines.join(""));
  if (bytes === undefined || bytes.length === 0) {
    throw new PemError(`base64 in lines of 64 characters expected before line ${endLine + 1}`);
  }
  return bytes;
}
