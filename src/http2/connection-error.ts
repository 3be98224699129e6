/**
 * What ends a connection (RFC 9113 section 5.4.1). Thrown and caught within this folder: the client learns the code
 * and the words from GOAWAY, the server's log from the connection's `failure`. It is no failure of the server.
 */
export class ConnectionError extends Error {
  /** One of ErrorCode. */
  readonly code: number;

  constructor(code: number, words: string) {
    super(words);
    this.code = code;
  }
}
