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
   * Stores the records in one produce, tried again until it succeeds or `signal` aborts; resolves to whether they are
   * durable. `onWaiting` is told when the topic can't be reached, and when it can again.
   */
  async store(
    letters: readonly { readonly record: ConsumedRecord; readonly cause: DeadLetterCause }[],
    signal: AbortSignal,
    onWaiting: (isWaiting: boolean) => void,
  ): Promise<boolean> {
    const { clock, random, logger, metrics } = this.#context;
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      try {
        await this.#send(letters.map(({ record, cause }) => deadLetter(record, cause, clock.now(), false)));
        if (attempt > 0) onWaiting(false);
        for (const { cause } of letters) metrics.countDeadLetter(cause.reason);
        return true;
      } catch (error) {
        if (error instanceof RecordTooLargeError) return this.#storeTruncated(letters, signal, onWaiting);
        onWaiting(true);
        if (attempt % 20 === 0) {
          logger.error(
            { topic: this.#context.topic, error: error },
            'dead letters can’t be stored; their partition waits',
          );
        }
        await sleep(clock, backoffMs(attempt, false, random), signal);
      }
    }
    return false;
  }

  /** One of the records is larger than the topic takes: each is stored alone, and without its value where it must be. */
  async #storeTruncated(
    letters: readonly { readonly record: ConsumedRecord; readonly cause: DeadLetterCause }[],
    signal: AbortSignal,
    onWaiting: (isWaiting: boolean) => void,
  ): Promise<boolean> {
    if (letters.length > 1) {
      for (const letter of letters) if (!(await this.store([letter], signal, onWaiting))) return false;
      return true;
    }
    const truncated = letters.map(({ record, cause }) => ({ record: { ...record, value: null }, cause }));
    const { clock, random, metrics } = this.#context;
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      try {
        await this.#send(truncated.map(({ record, cause }) => deadLetter(record, cause, clock.now(), true)));
        onWaiting(false);
        for (const { cause } of letters) metrics.countDeadLetter(cause.reason);
        return true;
      } catch {
        onWaiting(true);
        await sleep(clock, backoffMs(attempt, false, random), signal);
      }
    }
    return false;
  }

  #send(records: readonly ProducedRecord[]): Promise<void> {
    return this.#context.producer.send(this.#context.topic, records);
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
  return { key: record.key, value: record.value, headers, timestamp: record.timestamp };
}

/** A copy that holds no view on the fetch response. */
export function copyRecord(record: ConsumedRecord): ConsumedRecord {
  const copy = (bytes: Buffer | null): Buffer | null => (bytes ? Buffer.from(bytes) : null);
  return { ...record, key: copy(record.key), value: copy(record.value) };
}
