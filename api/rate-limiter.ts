export interface RateLimiterOptions {
  readonly perSecond: number;
  /** ms of a clock that only goes forward. */
  readonly now: () => number;
}

interface Bucket {
  tokens: number;
  filledAtMs: number;
}

/** What may come at once, as a multiple of a second's share: 50 at 20 a second. */
const BURST_SECONDS = 2.5;
/** Full buckets are as good as none, so they are forgotten now and then. */
const SWEEP_AT = 1_000;

/** A token bucket for each key. */
export class RateLimiter {
  readonly #perSecond: number;
  readonly #capacity: number;
  readonly #now: () => number;
  readonly #buckets = new Map<string, Bucket>();

  constructor({ perSecond, now }: RateLimiterOptions) {
    this.#perSecond = perSecond;
    this.#capacity = Math.max(1, Math.floor(perSecond * BURST_SECONDS));
    this.#now = now;
  }

  /** Takes one of the key's share. 0 when there was one, else the whole seconds until there is. */
  take(key: string): number {
    const bucket = this.#filled(key);
    if (bucket.tokens >= 1) {
      bucket.tokens -= 1;
      return 0;
    }
    return Math.max(1, Math.ceil((1 - bucket.tokens) / this.#perSecond));
  }

  #filled(key: string): Bucket {
    const now = this.#now();
    if (this.#buckets.size > SWEEP_AT) this.#sweep(now);
    const bucket = this.#buckets.get(key) ?? { tokens: this.#capacity, filledAtMs: now };
    bucket.tokens = this.#tokensAt(bucket, now);
    bucket.filledAtMs = now;
    this.#buckets.set(key, bucket);
    return bucket;
  }

  #sweep(now: number): void {
    for (const [key, bucket] of this.#buckets)
      if (this.#tokensAt(bucket, now) >= this.#capacity) this.#buckets.delete(key);
  }

  #tokensAt({ tokens, filledAtMs }: Bucket, now: number): number {
    return Math.min(this.#capacity, tokens + ((now - filledAtMs) / 1_000) * this.#perSecond);
  }
}
