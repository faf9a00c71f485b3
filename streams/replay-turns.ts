import { sleep, type Clock } from './clock.ts';

/** How long a timer is asked to wait, to see how late it comes. */
const PROBE_MS = 1;
/** A timer that comes later than that has waited for work: live mutations and answers come first. */
const BUSY_MS = 5;
/** Even a process that is busy all the time replays a little. */
const LONGEST_WAIT_MS = 100;

/**
 * Lets the replays of all partitions of a process take up what they read one at a time, and only while the event loop
 * has time for it: live mutations come first. A process that is busy all the time lets one go on every 100 ms.
 */
export class ReplayTurns {
  readonly #clock: Clock;
  #last: Promise<void> = Promise.resolve();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves when it is the caller's turn, or when `signal` aborts. */
  next(signal: AbortSignal): Promise<void> {
    this.#last = this.#last.then(() => this.#idle(signal));
    return this.#last;
  }

  async #idle(signal: AbortSignal): Promise<void> {
    const startedMs = this.#clock.monotonic();
    for (let now = startedMs; now - startedMs < LONGEST_WAIT_MS && !signal.aborted;) {
      await sleep(this.#clock, PROBE_MS, signal);
      const late = this.#clock.monotonic() - now - PROBE_MS;
      if (late <= BUSY_MS) return;
      now = this.#clock.monotonic();
    }
  }
}
