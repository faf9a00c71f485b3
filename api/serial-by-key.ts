/** Runs what has the same key one after the other, and everything else side by side. */
export class SerialByKey {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Settles as `task` does, which begins when all that was given before under `key` has settled. */
  async run<Result>(key: string, task: () => Promise<Result>): Promise<Result> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const result = before.then(task);
    const tail = result.catch(() => undefined);
    this.#tails.set(key, tail);
    try {
      return await result;
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }
}
