import type { Clock } from './clock.ts';

const MIN_MS = 5;
const MAX_MS = 250;
const WINDOW_MS = 100;
/** About a third of a core at 200 µs a request. */
const BUSY_REQUESTS_PER_SECOND = 1_500;

/** Something that waits for its records to be old enough to be sent. */
export interface Lingering {
  /** Sends what is old enough by now. Returns true while it has still something to wait for. */
  sendAged(nowMs: number): boolean;
}

/**
 * How old records may get before a lane sends a request that isn't full, and the one timer that all lanes share.
 *
 * A few ms while requests are few; up to 250 ms when requests, not messages, are what costs.
 */
export class Linger {
  readonly #clock: Clock;
  readonly #waiting = new Set<Lingering>();
  #lingerMs = MIN_MS;
  #requests = 0;
  #windowStart: number;
  #cancelTimer: (() => void) | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#windowStart = clock.monotonic();
  }

  get ms(): number {
    return this.#lingerMs;
  }

  /** Counts a request; their rate decides the linger. */
  countRequest(): void {
    this.#requests += 1;
    const now = this.#clock.monotonic();
    const elapsed = now - this.#windowStart;
    if (elapsed < WINDOW_MS) return;
    const rate = (this.#requests * 1_000) / elapsed;
    this.#requests = 0;
    this.#windowStart = now;
    if (rate > BUSY_REQUESTS_PER_SECOND) this.#lingerMs = Math.min(MAX_MS, this.#lingerMs * 1.5);
    else if (rate < BUSY_REQUESTS_PER_SECOND / 2) this.#lingerMs = Math.max(MIN_MS, this.#lingerMs / 1.5);
  }

  /** Has `sendAged` called once the linger has passed. */
  wait(lane: Lingering): void {
    this.#waiting.add(lane);
    this.#cancelTimer ??= this.#clock.schedule(this.#lingerMs, () => {
      this.#tick();
    });
  }

  forget(lane: Lingering): void {
    this.#waiting.delete(lane);
  }

  #tick(): void {
    this.#cancelTimer = null;
    const lanes = [...this.#waiting];
    this.#waiting.clear();
    const now = this.#clock.monotonic();
    for (const lane of lanes) if (lane.sendAged(now)) this.wait(lane);
  }
}
