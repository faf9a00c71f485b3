import type { DeadLetterReason } from '../schemas/mutation.ts';
import { backoffMs, type Random } from './backoff.ts';
import { sleep, type Clock } from './clock.ts';
import {
  RecordTooLargeError,
  type ConsumedRecord,
  type ProducedRecord,
  type Producer,
} from './kafka-port.ts';
import type { Logger } from './logger.ts';
import type { EngineMetrics } from './metrics.ts';

/** Why and from where a record goes to the dead letters. `detail` holds no payload. */
export interface DeadLetterCause {
  readonly reason: DeadLetterReason;
  readonly detail: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly datamartId?: string;
  readonly schemaId?: number;
  readonly replicationId?: string;
  readonly code?: string;
}

export interface DeadLetter {
  readonly record: ConsumedRecord;
  readonly cause: DeadLetterCause;
}

/** How a task wants its dead letters stored. */
export interface StoreOptions {
  readonly signal: AbortSignal;
  /** Whether a produce may start now (PROTOCOL A3). */
  readonly mayAttempt: () => boolean;
  /** Counts the produces that are under way. */
  readonly attempts: { inFlight: number };
  /** The dead letters can't be reached, or can again. */
  readonly onWaiting: (isWaiting: boolean) => void;
}

const HELD_BACK_MS = 100;

export interface DeadLettersContext {
  readonly topic: string;
  readonly producer: Producer;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: EngineMetrics;
  readonly logger: Logger;
}

/**
 * Stores records that can't be replicated: the original key, value, headers and timestamp, with headers that say why
 * (CONTRACT: dead letters). An offset may count as done only when `store` has resolved.
 */
export class DeadLetters {
  readonly #context: DeadLettersContext;

  constructor(context: DeadLettersContext) {
    this.#context = context;
  }

  /**
   * Stores the records in one produce, tried again until it succeeds or the signal aborts; resolves to whether they are
   * durable. A record that is larger than the topic takes is stored without its value.
   */
  async store(letters: readonly DeadLetter[], options: StoreOptions): Promise<boolean> {
    try {
      return await this.#storeAll(letters, false, options);
    } catch (error) {
      if (!(error instanceof RecordTooLargeError)) throw error;
    }
    if (letters.length === 1) return this.#storeAll(letters, true, options);
    for (const letter of letters) if (!(await this.store([letter], options))) return false;
    return true;
  }

  /** Rejects only with `RecordTooLargeError`. */
  async #storeAll(
    letters: readonly DeadLetter[],
    isTruncated: boolean,
    { signal, mayAttempt, attempts, onWaiting }: StoreOptions,
  ): Promise<boolean> {
    const { clock, random, logger, metrics, topic, producer } = this.#context;
    for (let attempt = 0; !signal.aborted;) {
      if (!mayAttempt()) {
        await sleep(clock, HELD_BACK_MS, signal);
        continue;
      }
      let isStored = true;
      attempts.inFlight += 1;
      try {
        const now = clock.now();
        const records = letters.map(({ record, cause }) => deadLetter(record, cause, now, isTruncated));
        await producer.send(topic, records);
      } catch (error) {
        if (error instanceof RecordTooLargeError && !isTruncated) throw error;
        onWaiting(true);
        if (attempt % 20 === 0)
          logger.error({ topic, error }, 'dead letters can’t be stored; their partition waits');
        isStored = false;
      } finally {
        attempts.inFlight -= 1;
      }
      if (isStored) {
        onWaiting(false);
        for (const { cause } of letters) metrics.countDeadLetter(cause.reason);
        return true;
      }
      await sleep(clock, backoffMs(attempt, false, random), signal);
      attempt += 1;
    }
    return false;
  }
}

/** The record as it is stored. Pure. */
export function deadLetter(
  record: ConsumedRecord,
  cause: DeadLetterCause,
  timeMs: number,
  isTruncated: boolean,
): ProducedRecord {
  const headers: Record<string, Buffer | string | readonly (Buffer | string)[]> = {};
  for (const [name, value] of Object.entries(record.headers)) if (value !== undefined) headers[name] = value;
  headers.dead_letter_reason = cause.reason;
  headers.dead_letter_detail = cause.detail;
  headers.dead_letter_topic = cause.topic;
  headers.dead_letter_partition = String(cause.partition);
  headers.dead_letter_offset = String(cause.offset);
  headers.dead_letter_time = String(timeMs);
  if (cause.datamartId !== undefined) headers.dead_letter_datamart_id = cause.datamartId;
  if (cause.schemaId !== undefined) headers.dead_letter_schema_id = String(cause.schemaId);
  if (cause.replicationId !== undefined) headers.dead_letter_replication_id = cause.replicationId;
  if (cause.code !== undefined) headers.dead_letter_code = cause.code;
  if (isTruncated) headers.dead_letter_truncated = 'true';
  const value = isTruncated ? null : record.value;
  return { key: record.key, value, headers, timestamp: record.timestamp };
}

/** A copy that holds no view on the fetch response. */
export function copyRecord(record: ConsumedRecord): ConsumedRecord {
  const copy = (bytes: Buffer | null): Buffer | null => (bytes ? Buffer.from(bytes) : null);
  return { ...record, key: copy(record.key), value: copy(record.value) };
}
