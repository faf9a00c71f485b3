interface Happening {
  readonly at: number;
  readonly order: number;
  task: (() => void) | null;
}

/** Each is a macrotask of its own, so that all promises have settled before the next. */
const STEPS_PER_TURN = 64;

/**
 * The time of one simulated world, in ms: what is to happen, in order.
 *
 * Nothing in it waits for real time. Between two happenings every promise settles that can, so a run is the same for the
 * same seed, and a process may die between any two of them.
 */
export class Scheduler {
  readonly #heap: Happening[] = [];
  #now = 0;
  #order = 0;
  #steps = 0;

  get now(): number {
    return this.#now;
  }

  /** How much has happened so far. */
  get steps(): number {
    return this.#steps;
  }

  /** Has `task` happen `delayMs` from now; the returned function prevents it. */
  at(delayMs: number, task: () => void): () => void {
    const happening: Happening = {
      at: this.#now + Math.max(0, Math.round(delayMs)),
      order: this.#order++,
      task,
    };
    this.#push(happening);
    return () => {
      happening.task = null;
    };
  }

  /** Lets things happen until `isOver` says so, which is asked before each. Rejects with what one of them throws. */
  run(isOver: () => boolean): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let hasEnded = false;
    const step = (): void => {
      if (hasEnded) return;
      try {
        if (!isOver() && this.#next()) return;
        hasEnded = true;
        resolve();
      } catch (error) {
        hasEnded = true;
        reject(error);
      }
    };
    const turn = (): void => {
      if (hasEnded) return;
      for (let i = 0; i < STEPS_PER_TURN; i += 1) setImmediate(step);
      setImmediate(turn);
    };
    turn();
    return promise;
  }

  #next(): boolean {
    for (;;) {
      const happening = this.#pop();
      if (!happening) return false;
      const { task } = happening;
      if (!task) continue;
      this.#now = happening.at;
      this.#steps += 1;
      task();
      return true;
    }
  }

  #push(happening: Happening): void {
    const heap = this.#heap;
    let i = heap.push(happening) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!isBefore(happening, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = happening;
  }

  #pop(): Happening | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (!last || heap.length === 0) return first;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!isBefore(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return first;
  }
}

function isBefore(a: Happening, b: Happening): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
