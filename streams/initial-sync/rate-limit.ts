/** Operations that may come at once after a quiet time: so many seconds' worth of them. */
const BURST_SECONDS = 1;

/** Lets so many operations a second pass, evenly: a token bucket. */
export class RateLimit {
  readonly #perSecond: number;
  #tokens: number;
  #filledMs: number;

  /** `perSecond` may be below 1, and is infinite where nothing is limited. */
  constructor(perSecond: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#filledMs = nowMs;
    this.#tokens = Math.min(1, perSecond);
  }

  /** Whether one more may pass now. */
  allows(nowMs: number): boolean {
    if (this.#perSecond === Infinity) return true;
    const most = Math.max(1, this.#perSecond * BURST_SECONDS);
    const filled = this.#tokens + ((nowMs - this.#filledMs) / 1_000) * this.#perSecond;
    this.#tokens = Math.min(most, filled);
    this.#filledMs = nowMs;
    return this.#tokens >= 1;
  }

  /** One more has passed. */
  take(): void {
    this.#tokens -= 1;
  }
}
