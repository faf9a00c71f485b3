import { backoffMs, type Random } from '../backoff.ts';
import { sleep, type Clock } from '../clock.ts';
import { ATTEMPT_DEADLINE_MS, SETTLE_MS } from '../destination.ts';
import type {
  AppendOutcome,
  PartitionWriter,
  ProducedRecord,
  RecordList,
  TopicPartition,
} from '../kafka-port.ts';
import { RecordArray } from '../record-array.ts';

/** Below what a broker takes by default: 1 MiB. */
const MAX_BATCH_BYTES = 900_000;
const LEAST_BATCH_BYTES = 64 * 1024;
const HELD_BACK_MS = 100;
/** The longest backoff is 6.4 s. */
const MOST_BACKOFF_DOUBLINGS = 5;

export interface AppenderPorts {
  readonly writer: PartitionWriter;
  readonly clock: Clock;
  readonly random: Random;
}

/** What an appender asks of and tells whoever appends. */
export interface AppenderOwner<Appended extends ProducedRecord> {
  /** Whether an attempt may start now (PROTOCOL A3). */
  mayAttempt(): boolean;
  onStored(records: RecordList<Appended>): void;
  /** An attempt failed, the so-manieth in a row; it is made again. */
  onFailed(error: Error, failures: number): void;
  /** The topic takes no record of this size. Resolves with one that is stored in its place, or null for none. */
  onTooLarge(record: Appended, error: Error): Promise<Appended | null>;
}

/**
 * Appends records to one partition in order, and tries until they are stored. One attempt is in flight; after one whose
 * outcome is open nothing newer is sent until it can't be stored any more (PROTOCOL B6, A6). Batches that the topic
 * refuses for their size are halved.
 */
export class PartitionAppender<Appended extends ProducedRecord> {
  readonly #at: TopicPartition;
  readonly #ports: AppenderPorts;
  readonly #owner: AppenderOwner<Appended>;
  readonly #signal: AbortSignal;
  #isInFlight = false;
  #newerNotBefore = 0;
  #maxBytes = MAX_BATCH_BYTES;

  /** Once `signal` aborts nothing more is started. */
  constructor(at: TopicPartition, ports: AppenderPorts, owner: AppenderOwner<Appended>, signal: AbortSignal) {
    this.#at = at;
    this.#ports = ports;
    this.#owner = owner;
    this.#signal = signal;
  }

  /** True when nothing that was started can still be stored (PROTOCOL A3, A6). */
  get isQuiet(): boolean {
    return !this.#isInFlight && this.#ports.clock.monotonic() >= this.#newerNotBefore;
  }

  /** What a batch may have in all, in bytes: less once the topic has refused one. */
  get maxBytes(): number {
    return this.#maxBytes;
  }

  /**
   * Stores the records as one batch, or in parts. Resolves with false when the signal aborted first. Not to be called
   * again before that.
   */
  async append(records: RecordList<Appended>): Promise<boolean> {
    const { clock } = this.#ports;
    const wait = this.#newerNotBefore - clock.monotonic();
    if (wait > 0) await sleep(clock, wait, this.#signal);
    return this.#store(records);
  }

  async #store(records: RecordList<Appended>): Promise<boolean> {
    const { clock, random } = this.#ports;
    if (records.length > 1 && records.maxBytes > this.#maxBytes) return this.#storeHalves(records);
    for (let failures = 0; !this.#signal.aborted;) {
      const outcome = await this.#attempt(records);
      switch (outcome.kind) {
        case 'stored':
          this.#owner.onStored(records);
          return true;
        case 'not_started':
          await sleep(clock, HELD_BACK_MS, this.#signal);
          break;
        case 'too_large':
          return this.#storeSmaller(records, outcome.error);
        case 'failed':
        case 'open': {
          failures += 1;
          this.#owner.onFailed(outcome.error, failures);
          const backoff = backoffMs(Math.min(failures, MOST_BACKOFF_DOUBLINGS), false, random);
          await sleep(clock, backoff, this.#signal);
        }
      }
    }
    return false;
  }

  async #attempt(records: RecordList<Appended>): Promise<AppendOutcome> {
    const { writer, clock } = this.#ports;
    if (!this.#mayAttempt()) return { kind: 'not_started' };
    let startedMs = 0;
    const outcome = await writer.append(this.#at, records, () => {
      if (!this.#mayAttempt()) return false;
      startedMs = clock.monotonic();
      this.#isInFlight = true;
      return true;
    });
    this.#isInFlight = false;
    if (outcome.kind === 'open') this.#newerNotBefore = startedMs + ATTEMPT_DEADLINE_MS + SETTLE_MS;
    return outcome;
  }

  #mayAttempt(): boolean {
    return !this.#signal.aborted && this.#owner.mayAttempt();
  }

  /** Halves, down to the record that the topic takes by no means. */
  async #storeSmaller(records: RecordList<Appended>, error: Error): Promise<boolean> {
    if (records.length === 1) {
      const instead = await this.#owner.onTooLarge(records.at(0), error);
      return instead ? this.#store(new RecordArray([instead])) : !this.#signal.aborted;
    }
    this.#maxBytes = Math.max(LEAST_BATCH_BYTES, Math.min(this.#maxBytes, records.maxBytes / 2));
    return this.#storeHalves(records);
  }

  async #storeHalves(records: RecordList<Appended>): Promise<boolean> {
    const half = Math.ceil(records.length / 2);
    const isHalfStored = await this.#store(records.slice(0, half));
    return isHalfStored && (await this.#store(records.slice(half, records.length)));
  }
}
