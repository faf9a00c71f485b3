import { backoffMs, type Random } from './backoff.ts';
import { sleep, type Clock } from './clock.ts';
import { RestoreFailedError } from './errors.ts';
import type { ConsumedRecord, PartitionReader, TopicPartition } from './kafka-port.ts';
import type { Logger } from './logger.ts';

const RESTORE_TIMEOUT_MS = 120_000;
const MAX_WAIT_MS = 250;
const APPLIED_CHECK_MS = 10;

export interface GlobalTableOptions {
  readonly topic: string;
  readonly reader: PartitionReader;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Applies one record; called for the records read at the start and the live ones alike. Must not throw. */
  readonly apply: (record: ConsumedRecord) => void;
  /** The topic is about to be read from its start to `end`: at the start, and when it was made anew. */
  readonly onBegin?: (end: number) => void;
  /** What `onBegin` announced was read. */
  readonly onComplete?: () => void;
}

/**
 * Reads a compacted topic of one partition whole, and then follows it: every instance has all of it.
 *
 * There is one code path for the records read at the start and those that come later. The end to reach is the last
 * stable offset, taken when the reading begins; a batch that compaction emptied moves the position too.
 */
export class GlobalTable {
  readonly #options: GlobalTableOptions;
  readonly #at: TopicPartition;
  #position = 0;
  #end = 0;
  /** Where the reading from the start is complete; null when it is. */
  #target: number | null = null;
  /** On the monotonic clock. */
  #readAtMs: number;

  constructor(options: GlobalTableOptions) {
    this.#options = options;
    this.#at = { topic: options.topic, partition: 0 };
    this.#readAtMs = options.clock.monotonic();
  }

  get topic(): string {
    return this.#at.topic;
  }

  /** The offset to be read next, and the log's end as last seen. */
  get progress(): { readonly position: number; readonly end: number } {
    return { position: this.#position, end: this.#end };
  }

  /** Records between the position and the log's end, as last seen. */
  get lag(): number {
    return Math.max(0, this.#end - this.#position);
  }

  /** How long ago the topic was last read, in ms: a table that can't be followed keeps what it has. */
  get ageMs(): number {
    return this.#options.clock.monotonic() - this.#readAtMs;
  }

  /** Reads from the start to the end that is there now. Rejects with `RestoreFailedError` after 120 s or on abort. */
  async restore(signal: AbortSignal): Promise<void> {
    const { clock, random, logger } = this.#options;
    const deadline = clock.monotonic() + RESTORE_TIMEOUT_MS;
    let hasBegun = false;
    for (let attempt = 0; ;) {
      if (signal.aborted) throw new RestoreFailedError(`reading ${this.#at.topic} was stopped`);
      try {
        if (!hasBegun) {
          this.#begin(await this.#options.reader.bounds(this.#at));
          hasBegun = true;
        }
        if (this.#target === null) return;
        await this.#readOnce(MAX_WAIT_MS);
        attempt = 0;
      } catch (error) {
        const log = attempt % 20 === 3 ? 'warn' : 'debug';
        logger[log]({ topic: this.#at.topic, error: error }, 'reading a table failed; trying again');
        if (clock.monotonic() > deadline) {
          throw new RestoreFailedError(`reading ${this.#at.topic} to its end took more than 120 s`, {
            cause: error,
          });
        }
        await sleep(clock, backoffMs(attempt, false, random), signal);
        attempt += 1;
      }
      if (clock.monotonic() > deadline)
        throw new RestoreFailedError(`reading ${this.#at.topic} to its end took more than 120 s`);
    }
  }

  /** Follows the topic until `signal` aborts. Never rejects: what fails is tried again, and the table keeps what it has. */
  async follow(signal: AbortSignal): Promise<void> {
    const { clock, random, logger } = this.#options;
    for (let attempt = 0; !signal.aborted;) {
      try {
        await this.#readOnce(MAX_WAIT_MS);
        attempt = 0;
      } catch (error) {
        if (signal.aborted) return;
        const log = attempt % 20 === 3 ? 'warn' : 'debug';
        logger[log](
          { topic: this.#at.topic, error: error },
          'following a table failed; it keeps what it has',
        );
        await this.#comeBackIntoRange();
        await sleep(clock, backoffMs(Math.min(attempt, 4), false, random), signal);
        attempt += 1;
      }
    }
  }

  /** Resolves when everything that is in the topic now was applied. `follow` must be running. */
  async caughtUp(signal: AbortSignal): Promise<void> {
    const { end } = await this.#options.reader.bounds(this.#at);
    while (this.#position < end && !signal.aborted)
      await sleep(this.#options.clock, APPLIED_CHECK_MS, signal);
  }

  /** Resolves when the record at this offset was applied. `follow` must be running. Rejects when `signal` aborts. */
  async applied(offset: number, signal: AbortSignal): Promise<void> {
    while (this.#position <= offset) {
      signal.throwIfAborted();
      await sleep(this.#options.clock, APPLIED_CHECK_MS, signal);
    }
  }

  async #readOnce(maxWaitMs: number): Promise<void> {
    const batch = await this.#options.reader.read(this.#at, this.#position, maxWaitMs);
    for (const record of batch.records) if (record.offset >= this.#position) this.#options.apply(record);
    this.#position = Math.max(this.#position, batch.nextOffset);
    this.#end = Math.max(batch.highWatermark, this.#position);
    this.#readAtMs = this.#options.clock.monotonic();
    this.#maybeComplete();
  }

  #begin({ start, end }: { readonly start: number; readonly end: number }): void {
    this.#position = start;
    this.#end = end;
    this.#target = end;
    this.#options.onBegin?.(end);
    this.#maybeComplete();
  }

  #maybeComplete(): void {
    if (this.#target === null || this.#position < this.#target) return;
    this.#target = null;
    this.#options.onComplete?.();
  }

  /** A topic that was made anew, or lost its head, is read again from its start. */
  async #comeBackIntoRange(): Promise<void> {
    try {
      const { start, end } = await this.#options.reader.bounds(this.#at);
      if (this.#position > end) this.#begin({ start, end });
      else if (this.#position < start) this.#position = start;
    } catch (error) {
      this.#options.logger.debug(
        { topic: this.#at.topic, error: error },
        'the bounds of a table can’t be read now',
      );
    }
  }
}
