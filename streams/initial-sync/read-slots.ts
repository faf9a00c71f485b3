/** What is read and not dispatched has 1 MiB each. */
const READS_AT_ONCE = 16;

/**
 * How many reads the initial synchronizations of one instance may have in memory at once, whatever the number of their
 * partitions and executions: the others wait for their turn, in order.
 */
export class ReadSlots {
  #free = READS_AT_ONCE;
  readonly #waiting: (() => void)[] = [];

  /** Runs `work`, which reads and lets go of what it has read, once there is a slot. */
  async run<Value>(work: () => Promise<Value>): Promise<Value> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}
