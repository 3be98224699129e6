import type { BenchServer, OwnServer, ServerKind } from "./servers.ts";

/** The servers that run: each is started when it is first needed and ended when nothing is left that needs it. */
export class Fleet {
  readonly #running = new Map<OwnServer, Promise<BenchServer>>();

  /** @throws Error where it does not start */
  async start(kind: ServerKind): Promise<BenchServer> {
    if (kind.of !== undefined) {
      const server = await this.start(kind.of);
      return { ...server, name: kind.name, loadOptions: [...server.loadOptions, ...kind.load] };
    }
    const server = this.#running.get(kind) ?? kind.start();
    this.#running.set(kind, server);
    return server;
  }

  /** Ends all but these. */
  async keep(kinds: readonly ServerKind[]): Promise<void> {
    const kept = kinds.map((kind) => kind.of ?? kind);
    const ended = [...this.#running].filter(([kind]) => !kept.includes(kind));
    for (const [kind] of ended) this.#running.delete(kind);
    await Promise.all(ended.map(async ([, server]) => (await server.catch(() => null))?.stop()));
  }
}
