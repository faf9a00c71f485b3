import { formatMutationSource } from '../../schemas/mutation-source.ts';
import type { MutationView } from '../../schemas/mutation.ts';
import type { ConsumedRecord, TopicPartition } from '../kafka-port.ts';
import type { Logger } from '../logger.ts';
import type { EngineMetrics } from '../metrics.ts';
import type { SegmentPool } from '../segment-pool.ts';
import { PartitionAppender, type AppenderPorts } from './partition-appender.ts';
import { SnapshotBatch, snapshotBytes, type SnapshotRecord } from './snapshot-batch.ts';
import { isOmitted } from './snapshot-headers.ts';

/** How long the first mutation of a batch waits for others: requests, not records, are what costs. */
const LINGER_MS = 50;
const SMALLEST_BATCH_BYTES = 16 * 1024;
const GROWTH = 8;
/** About one line a minute. */
const LOG_EVERY = 20;

export interface SnapshotWriterContext extends AppenderPorts {
  /** The snapshot topic of the task's mutation topic. */
  readonly snapshotTopic: string;
  readonly pool: SegmentPool;
  readonly metrics: EngineMetrics;
  readonly logger: Logger;
}

/** What the writer needs of its task. */
export interface SnapshotWriterOwner {
  readonly scope: TopicPartition & { readonly partitionCount: number };
  /** Whether an attempt may start now (PROTOCOL A3). */
  mayAttempt(): boolean;
  /** So many mutations hold their offsets no more. */
  onSettled(count: number): void;
  /** The snapshot can't be reached, or can again. */
  onWaiting(isWaiting: boolean): void;
  /** Stores the mutation at `offset` as a dead letter. Resolves when that is durable, or the task was closed. */
  storeTooLarge(offset: number, detail: string): Promise<void>;
}

/**
 * Copies a task's mutations to the partition of the same number of the snapshot topic: under the document's key the
 * mutation's bytes, or null when it deletes the document (CONTRACT: topics).
 *
 * One append is in flight, under the task's lease, and the same batch is tried until it is stored (PROTOCOL B6): an older
 * value that came last would stay for good. Mutations hold their offsets until they are stored: `position`.
 *
 * A record that the topic refuses for its size becomes a dead letter, and null with the header `omitted` stands for it in
 * the snapshot: a sync sends nothing of the document rather than what it was before.
 */
export class SnapshotWriter {
  readonly #context: SnapshotWriterContext;
  readonly #owner: SnapshotWriterOwner;
  readonly #appender: PartitionAppender<SnapshotRecord>;
  readonly #closing = new AbortController();
  /** Takes up mutations. */
  #open: SnapshotBatch | null = null;
  /** The open batch has lingered. */
  #isAged = false;
  #cancelLinger: (() => void) | null = null;
  /** Full batches, the oldest first. */
  #full: SnapshotBatch[] = [];
  /** Is being stored. */
  #current: SnapshotBatch | null = null;
  #isRunning = false;
  #nextBytes = SMALLEST_BATCH_BYTES;

  constructor(context: SnapshotWriterContext, owner: SnapshotWriterOwner) {
    this.#context = context;
    this.#owner = owner;
    this.#appender = new PartitionAppender(
      { topic: context.snapshotTopic, partition: owner.scope.partition },
      context,
      {
        mayAttempt: () => owner.mayAttempt(),
        onStored: (records) => {
          this.#onStored(records);
        },
        onFailed: (error, failures) => {
          this.#onFailed(error, failures);
        },
        onTooLarge: (record, error) => this.#onTooLarge(record, error),
      },
      this.#closing.signal,
    );
  }

  /** The smallest offset that isn't settled, or null. */
  get position(): number | null {
    const first = this.#current ?? this.#full[0] ?? this.#open;
    return first?.firstOffset ?? null;
  }

  /** True when nothing that was started can still be stored (PROTOCOL A3, A6). */
  get isQuiet(): boolean {
    return this.#appender.isQuiet;
  }

  /** Takes a copy of the mutation, which was decoded from the record. On the hot path. */
  append(mutation: MutationView, record: ConsumedRecord): void {
    const { value, offset, timestamp } = record;
    if (value === null || this.#closing.signal.aborted) return;
    const needed = snapshotBytes(mutation, value);
    if (this.#open && !this.#open.hasRoomFor(needed, this.#appender.maxBytes)) {
      this.#nextBytes = this.#open.storage.data.length * GROWTH;
      this.#seal(this.#open);
    }
    this.#open ??= this.#begin(needed, offset);
    const source = formatMutationSource({ ...this.#owner.scope, offset });
    // A broker refuses what is dated too far in the future.
    this.#open.put(mutation, record, source, Math.min(timestamp, this.#context.clock.now()));
  }

  /** Starts nothing more. What is in flight ends by itself and counts for nothing. Idempotent. */
  close(): void {
    this.#closing.abort();
    this.#cancelLinger?.();
    const { pool } = this.#context;
    for (const { storage } of this.#full) pool.release(storage);
    this.#full = [];
    if (this.#open) pool.release(this.#open.storage);
    this.#open = null;
  }

  #begin(needed: number, offset: number): SnapshotBatch {
    const { pool, clock } = this.#context;
    this.#cancelLinger = clock.schedule(LINGER_MS, () => {
      this.#isAged = true;
      void this.#run();
    });
    return new SnapshotBatch(pool.acquire(needed, this.#nextBytes), offset);
  }

  #seal(open: SnapshotBatch): void {
    this.#cancelLinger?.();
    this.#isAged = false;
    this.#open = null;
    this.#full.push(open);
    void this.#run();
  }

  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    // Never within the step that dispatches mutations.
    await Promise.resolve();
    for (let batch = this.#next(); batch; batch = this.#next()) await this.#settle(batch);
    this.#isRunning = false;
  }

  #next(): SnapshotBatch | null {
    if (this.#open && this.#isAged && this.#full.length === 0) {
      this.#nextBytes = Math.max(SMALLEST_BATCH_BYTES, this.#open.byteLength);
      this.#seal(this.#open);
    }
    return this.#full.shift() ?? null;
  }

  /** Stores the batch; when that is done its mutations hold their offsets no more. */
  async #settle(batch: SnapshotBatch): Promise<void> {
    const { pool, metrics } = this.#context;
    this.#current = batch;
    const { records, count } = batch;
    const isStored = await this.#appender.append(records);
    this.#current = null;
    if (isStored) metrics.snapshotRecords.add(count - records.length, 'superseded');
    pool.release(batch.storage);
    if (isStored) this.#owner.onSettled(count);
  }

  #onStored(records: readonly SnapshotRecord[]): void {
    const { snapshotRecords } = this.#context.metrics;
    let deleted = 0;
    let omitted = 0;
    for (const { value, headers } of records) {
      if (isOmitted(headers)) omitted += 1;
      else if (value === null) deleted += 1;
    }
    snapshotRecords.add(records.length - deleted - omitted, 'stored');
    snapshotRecords.add(deleted, 'deleted');
    this.#owner.onWaiting(false);
  }

  #onFailed(error: Error, failures: number): void {
    this.#owner.onWaiting(true);
    if (failures % LOG_EVERY !== 2) return;
    const { topic, partition } = this.#owner.scope;
    this.#context.logger.error(
      { topic, partition, error, repeated: failures },
      `the partition waits: its mutations can’t be stored in ${this.#context.snapshotTopic}`,
    );
  }

  /** Says that the record can't be kept, and sees to it that no older one stands for it. */
  async #onTooLarge(record: SnapshotRecord, error: Error): Promise<SnapshotRecord | null> {
    const { logger, metrics, snapshotTopic } = this.#context;
    const { topic, partition } = this.#owner.scope;
    const { offset, key, value, headers } = record;
    const isOmission = isOmitted(headers);
    const bytes = key.length + (value?.length ?? 0);
    const detail = `the snapshot topic ${snapshotTopic} takes no record of ${bytes} bytes; raise its max.message.bytes`;
    logger.error(
      { topic, partition, offset, error },
      isOmission ? `${detail}: an older value of the document stays there` : detail,
    );
    if (isOmission) return null;
    metrics.snapshotRecords.add(1, 'too_large');
    await this.#owner.storeTooLarge(offset, detail);
    return { ...record, value: null, headers: { ...headers, omitted: 'too_large' } };
  }
}
