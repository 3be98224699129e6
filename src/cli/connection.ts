import { createReadStream } from "node:fs";
import { text } from "node:stream/consumers";
import { type Command, InvalidArgumentError } from "commander";
import { fileError, SignetError } from "../errors.ts";
import type { ClientOptions } from "../grpc/index.ts";

/** The options of every command that calls a running server. */
export interface ConnectionFlags {
  readonly server: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly timeoutMs: number;
}

/** No header could carry a longer one. */
const MAX_TOKEN_BYTES = 8 * 1024;

/** Adds those options to a command. */
export function withConnection(command: Command): Command {
  return command
    .option("--server <address>", "the server's gRPC address; port 8001 if left out", "127.0.0.1:8001")
    .option(
      "--token <token>",
      "the access token; better in $SIGNET_TOKEN or --token-file, where other users cannot see it",
    )
    .option("--token-file <file>", "a file with the access token")
    .option("--ca <file>", "CA certificates in PEM; turns on TLS")
    .option("--cert <file>", "a client certificate in PEM, instead of a token")
    .option("--key <file>", "the client certificate's key in PEM")
    .option("--timeout-ms <ms>", "how long one call may take", milliseconds, 60_000);
}

/** What a client needs of them. @throws FILE_UNREADABLE, USAGE */
export async function connectionFrom(flags: ConnectionFlags): Promise<ClientOptions> {
  return {
    server: flags.server,
    token: await tokenFrom(flags),
    caFile: flags.ca,
    certFile: flags.cert,
    keyFile: flags.key,
    timeoutMs: flags.timeoutMs,
  };
}

async function tokenFrom({ token, tokenFile }: ConnectionFlags): Promise<string | undefined> {
  if (tokenFile === undefined) return token ?? process.env.SIGNET_TOKEN;
  let found: string;
  try {
    // As a stream, because `--token-file <(command)` is a pipe; and no further than a token can be long.
    found = (await text(createReadStream(tokenFile, { end: MAX_TOKEN_BYTES }))).trim();
  } catch (error) {
    throw fileError(tokenFile, error);
  }
  // What was found is not quoted: it may be another secret.
  if (found.length > MAX_TOKEN_BYTES || !/^[\x21-\x7e]+$/.test(found)) {
    throw new SignetError("USAGE", `${tokenFile}: expected a token, found something else`);
  }
  return found;
}

function milliseconds(value: string): number {
  const ms = Number(value);
  if (!Number.isInteger(ms) || ms < 1) throw new InvalidArgumentError("expected a whole number of milliseconds.");
  return ms;
}
