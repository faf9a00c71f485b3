import type { ReplicationConfig } from '../processors/replication-config.ts';
import type { Sink } from '../sinks/sink.ts';

/** What an opening was made with. */
export interface SinkOrigin {
  readonly config: ReplicationConfig;
  /** Counts the changes of credentials and options that were known when it began. */
  readonly revision: number;
  /** Version of the sealed credentials; null for other ones, for none, and while they aren't known. */
  readonly credentialsVersion: number | null;
  /** Of the credentials; null for none, and while they aren't known. */
  readonly fingerprint: string | null;
}

/** An open sink, what it was opened with, and how many attempts are in flight on it. */
export class OpenedSink {
  readonly sink: Sink;
  #origin: SinkOrigin;
  /** When it was found to work, on the monotonic clock. */
  readonly checkedMs: number;
  /** When an attempt last began or ended, on the monotonic clock; when it was opened, as long as none has. */
  #lastUsedMs: number;
  #wasUsed = false;
  #inFlight = 0;
  #idle: PromiseWithResolvers<void> | null = null;

  constructor(sink: Sink, origin: SinkOrigin, nowMs: number) {
    this.sink = sink;
    this.#origin = origin;
    this.checkedMs = nowMs;
    this.#lastUsedMs = nowMs;
  }

  get origin(): SinkOrigin {
    return this.#origin;
  }

  get lastUsedMs(): number {
    return this.#lastUsedMs;
  }

  /** Whether an attempt was ever made on it, or on the one whose place it took. */
  get wasUsed(): boolean {
    return this.#wasUsed;
  }

  get isIdle(): boolean {
    return this.#inFlight === 0;
  }

  /** Goes on where another leaves off: it is as used as that one was. */
  succeed(previous: OpenedSink): void {
    this.#wasUsed = previous.#wasUsed;
  }

  /** Nothing has changed that it was opened with: it might as well have been opened with this. */
  confirm(origin: SinkOrigin): void {
    this.#origin = origin;
  }

  /** One attempt begins; `release` must follow. */
  take(nowMs: number): this {
    this.#inFlight += 1;
    this.#lastUsedMs = nowMs;
    return this;
  }

  /** The attempt has ended, or `wasMade` is false: it wasn't made after all. */
  release(nowMs: number, wasMade: boolean): void {
    this.#inFlight -= 1;
    if (wasMade) {
      this.#wasUsed = true;
      this.#lastUsedMs = nowMs;
    }
    if (this.#inFlight === 0) this.#idle?.resolve();
  }

  /** Resolves when no attempt is in flight. For one that no new attempt takes any more. */
  untilIdle(): Promise<void> {
    if (this.isIdle) return Promise.resolve();
    this.#idle ??= Promise.withResolvers();
    return this.#idle.promise;
  }
}
