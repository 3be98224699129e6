/** Tells those who watch jobs that something happened to one; what it is they read from the store. */
export class JobHub {
  readonly #watchers = new Map<string, Set<() => void>>();
  #isClosed = false;

  /** Whether nobody is to watch any more, because the server stops. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** @returns how to stop */
  watch(jobId: string, onChange: () => void): () => void {
    let watchers = this.#watchers.get(jobId);
    if (watchers === undefined) {
      watchers = new Set();
      this.#watchers.set(jobId, watchers);
    }
    const all = watchers;
    all.add(onChange);
    return () => {
      all.delete(onChange);
      if (all.size === 0) this.#watchers.delete(jobId);
    };
  }

  close(): void {
    this.#isClosed = true;
    for (const jobId of this.#watchers.keys()) this.changed(jobId);
  }

  changed(jobId: string): void {
    for (const onChange of this.#watchers.get(jobId) ?? []) onChange();
  }
}
