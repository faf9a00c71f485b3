import type { Clock } from './clock.ts';
import { ATTEMPT_DEADLINE_MS } from './destination.ts';
import type { Instant } from './kafka-port.ts';

/** PROTOCOL A3: T_s, after which the coordinator gives a silent member's partitions away. */
export const SESSION_TIMEOUT_MS = 24_000;
/** PROTOCOL A3: M, for clocks that drift and requests that are on their way. */
const MARGIN_MS = 2_000;
/** An attempt that starts within this after the newest proof of membership has ended before anybody else may own its partition. */
const LEASE_MS = SESSION_TIMEOUT_MS - ATTEMPT_DEADLINE_MS - MARGIN_MS;
/** A new owner waits so long before its first attempt, when the last one may still have some in flight. */
export const QUIET_TIME_MS = ATTEMPT_DEADLINE_MS + MARGIN_MS;

/** Now, on both clocks. */
export function instantOf(clock: Clock): Instant {
  return { wallMs: clock.now(), monotonicMs: clock.monotonic() };
}

/**
 * Whether attempts may start: only while this member is surely still in the group (PROTOCOL A3).
 *
 * It is renewed by every answered heartbeat, sync and commit, from the moment that request was SENT; the larger of both
 * clocks' elapsed time counts. From a rebalance until the partitions are claimed again it is suspended.
 */
export class Lease {
  readonly #clock: Clock;
  readonly #onUsable: () => void;
  #provenAt: Instant | null = null;
  #isSuspended = true;

  /** `onUsable` is called when attempts may start that may not have been able to before. */
  constructor(clock: Clock, onUsable: () => void) {
    this.#clock = clock;
    this.#onUsable = onUsable;
  }

  /** Asked in the very step that writes. */
  mayStart(): boolean {
    if (this.#isSuspended || !this.#provenAt) return false;
    const { wallMs, monotonicMs } = this.#provenAt;
    const elapsed = Math.max(this.#clock.now() - wallMs, this.#clock.monotonic() - monotonicMs);
    return elapsed < LEASE_MS;
  }

  /** The coordinator answered a request that was sent at `sentAt`. */
  renew(sentAt: Instant): void {
    if (this.#provenAt && sentAt.monotonicMs <= this.#provenAt.monotonicMs) return;
    const wasUsable = this.mayStart();
    this.#provenAt = sentAt;
    if (!wasUsable && this.mayStart()) this.#onUsable();
  }

  /** Nothing starts from now on, in any partition. */
  suspend(): void {
    this.#isSuspended = true;
  }

  /** The partitions were claimed. */
  resume(): void {
    this.#isSuspended = false;
    if (this.mayStart()) this.#onUsable();
  }
}
