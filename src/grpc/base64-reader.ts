import { SignetError } from "../errors.ts";

const PADDED = /[^=]+={0,2}/g;

/** Decodes base64 that comes in pieces, and may be several texts one after the other, each with its padding. */
export class Base64Reader {
  #rest = "";

  /** @throws REQUEST_MALFORMED */
  read(chunk: Buffer): Buffer {
    const text = this.#rest + chunk.toString("latin1");
    const whole = text.length - (text.length % 4);
    this.#rest = text.slice(whole);
    const quads = text.slice(0, whole);
    if (!quads.includes("=")) return decode(quads);
    const texts = quads.match(PADDED) ?? [];
    if (texts.join("").length !== quads.length) throw malformed();
    return Buffer.concat(texts.map(decode));
  }

  /** @throws REQUEST_MALFORMED where the text ends too early */
  end(): void {
    if (this.#rest !== "") throw malformed();
  }
}

/** Node skips what is no base64, and reads its URL-safe form too; what is too short afterwards was none. */
function decode(text: string): Buffer {
  const bytes = Buffer.from(text, "base64");
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  if (text.length % 4 !== 0 || bytes.length !== (text.length / 4) * 3 - padding) throw malformed();
  return bytes;
}

function malformed(): SignetError {
  return new SignetError("REQUEST_MALFORMED", "body: expected base64, found something else");
}
