/** So many clients of one destination may take another's place within a minute without waiting. */
const MOST_REBUILDS = 5;
const PERIOD_MS = 60_000;

/** Keeps a destination whose config or credentials change all the time from being connected to all the time. */
export class RebuildLimit {
  readonly #rebuiltMs: number[] = [];

  /** A client was opened, on the monotonic clock. */
  note(nowMs: number): void {
    this.#rebuiltMs.push(nowMs);
    if (this.#rebuiltMs.length > MOST_REBUILDS) this.#rebuiltMs.shift();
  }

  /** How long the next change must wait; 0: not at all. */
  waitMs(nowMs: number): number {
    const [oldest] = this.#rebuiltMs;
    if (oldest === undefined || this.#rebuiltMs.length < MOST_REBUILDS) return 0;
    return Math.max(0, oldest + PERIOD_MS - nowMs);
  }
}
