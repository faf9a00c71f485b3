import { ApiError } from './api-error.ts';

const MAX_OF_TOKEN = 2;
const MAX_AT_ONCE = 8;
const RETRY_SECONDS = 5;

/** How many calls that read the log are answered at a time: they take seconds, and share the instance's connections. */
export class CallSlots {
  readonly #taken = new Map<string, number>();
  #all = 0;

  /**
   * Settles as `task` does. Rejects with an `ApiError` instead of running it: `rate_limited` when the token has its share
   * at work, `not_ready` when the instance has no more.
   */
  async run<Result>(token: string, task: () => Promise<Result>): Promise<Result> {
    const own = this.#taken.get(token) ?? 0;
    const context = { hint: 'wait for an answer before the next call', retryAfterSeconds: RETRY_SECONDS };
    if (own >= MAX_OF_TOKEN)
      throw new ApiError('rate_limited', `${own} calls of this token that read the log are at work`, context);
    if (this.#all >= MAX_AT_ONCE)
      throw new ApiError('not_ready', 'as many calls that read the log are at work as may be', context);
    this.#count(token, 1);
    try {
      return await task();
    } finally {
      this.#count(token, -1);
    }
  }

  #count(token: string, change: 1 | -1): void {
    const count = (this.#taken.get(token) ?? 0) + change;
    if (count > 0) this.#taken.set(token, count);
    else this.#taken.delete(token);
    this.#all += change;
  }
}
