import type { ReplicationConfig } from '../processors/replication-config.ts';
import type { SinkError } from '../sinks/sink.ts';
import type { Random } from './backoff.ts';
import { sleep, type Clock } from './clock.ts';
import { copyRecord, type DeadLetterCause, type DeadLetters, type StoreOptions } from './dead-letters.ts';
import type { ConsumedRecord, PartitionReader, TopicPartition } from './kafka-port.ts';
import type { Logger } from './logger.ts';

const READ_ATTEMPTS = 5;

/** Whose destination rejects. The datamart is named too: an id may be used again by another. */
export type RejectingReplication = Pick<ReplicationConfig, 'id' | 'datamartId'>;

export interface RejectedRecordsContext {
  readonly deadLetters: DeadLetters;
  readonly reader: PartitionReader;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Stores the mutations that a destination, or the snapshot, can never accept, with their original bytes, as dead letters. */
export class RejectedRecords {
  readonly #context: RejectedRecordsContext;
  readonly #scope: TopicPartition;
  readonly #storing: StoreOptions;

  constructor(context: RejectedRecordsContext, scope: TopicPartition, storing: StoreOptions) {
    this.#context = context;
    this.#scope = scope;
    this.#storing = storing;
  }

  /** Resolves when the dead letter is durable, or the task was closed. Never rejects. */
  store(offset: number, { id, datamartId }: RejectingReplication, error: SinkError): Promise<void> {
    return this.storeAs(offset, {
      reason: error.code === 'too_large' ? 'too_large' : 'rejected',
      detail: error.message,
      datamartId,
      replicationId: id,
      code: error.code,
    });
  }

  /** The same for any cause. */
  async storeAs(offset: number, why: Omit<DeadLetterCause, keyof TopicPartition | 'offset'>): Promise<void> {
    const record = await this.#readAgain(offset);
    const { topic, partition } = this.#scope;
    const cause = { ...why, topic, partition, offset };
    await this.#context.deadLetters.store([{ record, cause }], this.#storing);
  }

  async #readAgain(offset: number): Promise<ConsumedRecord> {
    const { reader, clock, random, logger } = this.#context;
    const lost: ConsumedRecord = { offset, timestamp: clock.now(), key: null, value: null, headers: {} };
    for (let attempt = 0; attempt < READ_ATTEMPTS && !this.#storing.signal.aborted; attempt += 1) {
      try {
        const batch = await reader.read(this.#scope, offset, 1_000);
        const record = batch.records.find((candidate) => candidate.offset === offset);
        return record ? copyRecord(record) : lost;
      } catch (error) {
        logger.warn({ ...this.#scope, offset, error }, 'a rejected record can’t be read again yet');
        await sleep(clock, 100 + Math.ceil(random() * 400), this.#storing.signal);
      }
    }
    return lost;
  }
}
