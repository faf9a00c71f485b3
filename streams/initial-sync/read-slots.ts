import { READ_MIB } from '../kafka-port.ts';

/** Of all reads together, in MiB. */
const AT_ONCE_MIB = 16;

/**
 * How much the reads of the initial synchronizations of one instance may have in memory at once, whatever the number of
 * their partitions and executions: the others wait for their turn, in order.
 */
export class ReadSlots {
  #freeMib = AT_ONCE_MIB;
  readonly #waiting: { readonly mib: number; readonly start: () => void }[] = [];

  /** Runs `work`, which reads so much at most and lets go of what it has read, once there is room. */
  async run<Value>(work: () => Promise<Value>, mib = READ_MIB.all): Promise<Value> {
    if (this.#waiting.length === 0 && mib <= this.#freeMib) this.#freeMib -= mib;
    else await new Promise<void>((resolve) => this.#waiting.push({ mib, start: resolve }));
    try {
      return await work();
    } finally {
      this.#freeMib += mib;
      this.#startWaiting();
    }
  }

  #startWaiting(): void {
    for (let [next] = this.#waiting; next && next.mib <= this.#freeMib; [next] = this.#waiting) {
      this.#waiting.shift();
      this.#freeMib -= next.mib;
      next.start();
    }
  }
}
