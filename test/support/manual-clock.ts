import type { Clock } from '../../streams/clock.ts';

const UPTIME_MS = 3_600_000;

/** A clock that stands still until a test moves it; what is due then runs in order. */
export class ManualClock implements Clock {
  readonly #startMs: number;
  #now: number;
  #nextId = 0;
  readonly #timers = new Map<number, { at: number; task: () => void }>();

  constructor(startMs = 1_763_900_000_000) {
    this.#startMs = startMs;
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  /** Counts from another start than `now`, as the machine's does: who mixes them up waits for ever, or not at all. */
  monotonic(): number {
    return this.#now - this.#startMs + UPTIME_MS;
  }

  schedule(delayMs: number, task: () => void): () => void {
    const id = this.#nextId;
    this.#nextId += 1;
    this.#timers.set(id, { at: this.#now + Math.max(0, delayMs), task });
    return () => {
      this.#timers.delete(id);
    };
  }

  /** Moves time on, running timers as they come due and letting promises settle between them. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settle();
    for (;;) {
      const [due] = [...this.#timers]
        .filter(([, { at }]) => at <= end)
        .sort(([a, x], [b, y]) => x.at - y.at || a - b);
      if (!due) break;
      const [id, { at, task }] = due;
      this.#timers.delete(id);
      this.#now = Math.max(this.#now, at);
      task();
      await settle();
    }
    this.#now = end;
    await settle();
  }
}

/** Lets every promise that can settle without a timer do so. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i += 1) await new Promise((resolve) => setImmediate(resolve));
}
