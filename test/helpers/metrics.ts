import { RestClient } from "./rest-client.ts";

/** Reads metrics as a scraper without a token does. */
export class Scraper {
  readonly #client: RestClient;

  constructor(address: string) {
    this.#client = new RestClient(address, null);
  }

  /** The value of one series, named as in the text format; undefined where there is none. */
  async value(series: string): Promise<number | undefined> {
    const { body } = await this.#client.get("/metrics");
    const line = body
      .toString()
      .split("\n")
      .find((line) => line.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length + 1));
  }
}
