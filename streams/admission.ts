import type { SinkErrorCode } from '../sinks/sink.ts';
import { backoffMs, type Random } from './backoff.ts';
import type { Clock } from './clock.ts';

/** Attempts that one destination may have in flight on one instance, over all its partitions. */
const MAX_CONCURRENCY = 64;
/** A permanent fault is tried again after this: three tries take the 30 s that its confirmation asks for. */
const FATAL_RETRY_MS = 15_500;

/** Wants to start one attempt. */
export interface Applicant {
  /** A slot is the applicant's now: it must be used for one attempt, or given back. Called at most once per `apply`. */
  admitted(): void;
}

/** What an attempt came to, as far as the destination is concerned. */
export type AttemptVerdict =
  { readonly kind: 'works' } | { readonly kind: 'retriable' | 'fatal'; readonly code: SinkErrorCode };

/**
 * Who may start an attempt at one destination, and when: the destination's backoff, breaker and concurrency in one.
 *
 * ```
 *   CLOSED ── failure ──▶ OPEN ── backoff with full jitter ──▶ HALF_OPEN ── success ──▶ CLOSED
 *   up to `limit` at once   none                        one at a time ── failure ──▶ OPEN, for longer
 * ```
 *
 * The limit falls by half with a failure and rises by one with as many successes as it allows attempts (additive
 * increase, multiplicative decrease). Throttling waits longer, but doesn't make the destination suspect: afterwards
 * attempts start up to the lowered limit. Applicants are served in the order in which they came, so that no partition
 * pushes another out.
 */
export class Admission {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #waiting = new Set<Applicant>();
  #limit = MAX_CONCURRENCY;
  #inFlight = 0;
  #failures = 0;
  #isSuspect = false;
  #closedUntil = 0;
  #isHeld = false;
  #cancelTimer: (() => void) | null = null;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Failures in a row, as the backoff counts them: those of attempts that were in flight together count once. */
  get failures(): number {
    return this.#failures;
  }

  /** Attempts that may be in flight at once. */
  get limit(): number {
    return this.#isSuspect ? 1 : Math.floor(this.#limit);
  }

  /** Calls `admitted` as soon as a slot is free: at once, if one is. */
  apply(applicant: Applicant): void {
    this.#waiting.add(applicant);
    this.#admit();
  }

  /** The applicant wants no slot any more. */
  withdraw(applicant: Applicant): void {
    this.#waiting.delete(applicant);
  }

  /** Gives a slot back that no attempt was made with. */
  giveBack(): void {
    this.#inFlight -= 1;
    this.#admit();
  }

  /** An attempt has ended, and its slot is free. */
  ended(verdict: AttemptVerdict): void {
    this.#inFlight -= 1;
    if (verdict.kind === 'works') this.#succeeded();
    else this.#failed(verdict.kind, verdict.code);
    this.#admit();
  }

  /** Admits nobody until `reset`: whether the destination can be used isn't known, or is known not to be. */
  hold(): void {
    this.#isHeld = true;
  }

  /** The destination can be used, as far as is known: admits again after `hold`, and at once. */
  reset(): void {
    this.#isHeld = false;
    this.forgetFailures();
  }

  /** Something changed at the destination (credentials, config): the next attempt needn't wait, unless it is held. */
  forgetFailures(): void {
    this.#failures = 0;
    this.#isSuspect = false;
    this.#closedUntil = 0;
    this.#admit();
  }

  /** Cancels the timer; nobody is admitted any more. */
  close(): void {
    this.#waiting.clear();
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  #succeeded(): void {
    this.#failures = 0;
    this.#isSuspect = false;
    this.#limit = Math.min(MAX_CONCURRENCY, this.#limit + 1 / this.#limit);
  }

  #failed(kind: 'retriable' | 'fatal', code: SinkErrorCode): void {
    const now = this.#clock.monotonic();
    // Attempts that were in flight together fail together: that is one failure.
    if (now < this.#closedUntil) return;
    const isThrottled = code === 'throttled' || code === 'quota_exceeded';
    this.#limit = Math.max(1, this.#limit / 2);
    this.#isSuspect = !isThrottled;
    const delay = kind === 'fatal' ? FATAL_RETRY_MS : backoffMs(this.#failures, isThrottled, this.#random);
    this.#failures += 1;
    this.#closedUntil = now + Math.max(1, delay);
  }

  #admit(): void {
    if (this.#isHeld) return;
    for (const applicant of this.#waiting) {
      if (this.#inFlight >= this.limit) return;
      const wait = this.#closedUntil - this.#clock.monotonic();
      if (wait > 0) {
        this.#cancelTimer ??= this.#clock.schedule(wait, () => {
          this.#cancelTimer = null;
          this.#admit();
        });
        return;
      }
      this.#waiting.delete(applicant);
      this.#inFlight += 1;
      applicant.admitted();
    }
  }
}
