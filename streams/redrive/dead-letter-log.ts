import type { Random } from '../backoff.ts';
import type { Clock } from '../clock.ts';
import type { ConsumedBatch, ConsumedRecord, PartitionReader } from '../kafka-port.ts';
import { readPersistently } from './persistent-read.ts';
import { readDeadLetter, type StoredDeadLetter } from './stored-dead-letter.ts';

const MAX_WAIT_MS = 500;

export interface DeadLetterLogOptions {
  readonly topic: string;
  readonly partitions: number;
  readonly reader: PartitionReader;
  readonly clock: Clock;
  readonly random: Random;
}

/** Where a scan stands. */
export interface ScanProgress {
  readonly read: number;
  /** Offsets between the log's start and its end when the scan began, an upper bound of the records. */
  readonly total: number;
}

/** Reads the dead-letter topic outside any group, bounded by its end when a scan begins. */
export class DeadLetterLog {
  readonly #options: DeadLetterLogOptions;
  /** The last batch of each partition: letters that are asked for one by one mostly lie side by side. */
  readonly #batches = new Map<number, ConsumedBatch>();

  constructor(options: DeadLetterLogOptions) {
    this.#options = options;
  }

  /**
   * Hands over every dead letter, partition by partition, each in the order of its log. `onForeign` is told of records
   * that are none. Ends early when `signal` aborts. Rejects when the topic can't be read.
   */
  async scan(
    onLetter: (letter: StoredDeadLetter) => void | Promise<void>,
    onForeign: () => void,
    onProgress: (progress: ScanProgress) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const all = Array.from({ length: this.#options.partitions }, (_, partition) => partition);
    const bounds = await this.#persistently(
      () => Promise.all(all.map((partition) => this.#options.reader.bounds(this.#at(partition)))),
      signal,
    );
    const total = bounds.reduce((sum, { start, end }) => sum + end - start, 0);
    let before = 0;
    for (const [partition, { start, end }] of bounds.entries()) {
      for (let position = start; position < end && !signal.aborted;) {
        const batch = await this.#read(partition, position, signal);
        if (!batch) {
          position = (await this.#startOf(partition, signal)) ?? end;
          continue;
        }
        for (const record of batch.records) {
          if (record.offset < position || record.offset >= end) continue;
          const letter = readDeadLetter(partition, record);
          if (letter) await onLetter(letter);
          else onForeign();
        }
        position = Math.max(position, batch.nextOffset);
        onProgress({ read: before + Math.min(position, end) - start, total });
      }
      before += end - start;
    }
  }

  /**
   * The record at a place that a scan told; null when retention has taken it since. What it refers to may change with
   * the next call.
   */
  async recordAt(partition: number, offset: number, signal: AbortSignal): Promise<ConsumedRecord | null> {
    const kept = this.#find(partition, offset);
    if (kept) return kept;
    const batch = await this.#read(partition, offset, signal);
    if (!batch) return null;
    this.#batches.set(partition, batch);
    return this.#find(partition, offset);
  }

  #find(partition: number, offset: number): ConsumedRecord | null {
    const records = this.#batches.get(partition)?.records ?? [];
    let low = 0;
    let high = records.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const record = records[middle];
      if (!record) break;
      if (record.offset === offset) return record;
      if (record.offset < offset) low = middle + 1;
      else high = middle - 1;
    }
    return null;
  }

  /** Null when `offset` lies before the log's start. */
  async #read(partition: number, offset: number, signal: AbortSignal): Promise<ConsumedBatch | null> {
    return this.#persistently(async () => {
      try {
        return await this.#options.reader.read(this.#at(partition), offset, MAX_WAIT_MS);
      } catch (error) {
        const { start } = await this.#options.reader.bounds(this.#at(partition));
        if (offset < start) return null;
        throw error;
      }
    }, signal);
  }

  async #startOf(partition: number, signal: AbortSignal): Promise<number | null> {
    const { start, end } = await this.#persistently(
      () => this.#options.reader.bounds(this.#at(partition)),
      signal,
    );
    return start < end ? start : null;
  }

  #persistently<Value>(read: () => Promise<Value>, signal: AbortSignal): Promise<Value> {
    return readPersistently({ ...this.#options, signal }, read);
  }

  #at(partition: number): { topic: string; partition: number } {
    return { topic: this.#options.topic, partition };
  }
}
