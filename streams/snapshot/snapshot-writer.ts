import type { MutationView } from '../../schemas/mutation.ts';
import type { ConsumedRecord, TopicPartition } from '../kafka-port.ts';
import type { Logger } from '../logger.ts';
import type { EngineMetrics } from '../metrics.ts';
import type { SegmentPool } from '../segment-pool.ts';
import { PartitionAppender, type AppenderPorts } from './partition-appender.ts';
import { SnapshotBatch, snapshotBytes, SnapshotColumns, type SnapshotRecord } from './snapshot-batch.ts';
import { isOmitted } from './snapshot-headers.ts';

/** How long the first mutation of a batch waits for others: requests, not records, are what costs. */
const LINGER_MS = 50;
const SMALLEST_BATCH_BYTES = 16 * 1024;
const GROWTH = 8;
/** One batch fills up while another is stored. */
const SPARE_COLUMNS = 2;
/** About one line a minute, with the longest backoff. */
const LOG_EVERY = 20;
const REPEAT_LOG_MS = 60_000;

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
  /** Of batches that are gone. */
  readonly #spareColumns: SnapshotColumns[] = [];
  #nextBytes = SMALLEST_BATCH_BYTES;
  /** Rows of the current batch that the topic takes by no means. */
  #omitted = 0;
  /** Records too large that no line has told of, and when the last line was written. */
  #unlogged = 0;
  #loggedMs = -Infinity;

  constructor(context: SnapshotWriterContext, owner: SnapshotWriterOwner) {
    this.#context = context;
    this.#owner = owner;
    this.#appender = new PartitionAppender(
      { topic: context.snapshotTopic, partition: owner.scope.partition },
      context,
      {
        mayAttempt: () => owner.mayAttempt(),
        onStored: () => {
          owner.onWaiting(false);
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
    // A broker refuses what is dated too far in the future.
    this.#open.put(mutation, record, Math.min(timestamp, this.#context.clock.now()));
  }

  /** Lets nothing linger: what was taken up goes out as soon as it can. */
  flush(): void {
    this.#isAged = true;
    void this.#run();
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
    const columns = this.#spareColumns.pop() ?? new SnapshotColumns();
    return new SnapshotBatch(pool.acquire(needed, this.#nextBytes), columns, offset, this.#owner.scope);
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
    const { count, deleted, superseded } = batch;
    this.#omitted = 0;
    const isStored = await this.#appender.append(batch.records());
    this.#current = null;
    if (this.#spareColumns.length < SPARE_COLUMNS) this.#spareColumns.push(batch.columns);
    pool.release(batch.storage);
    if (!isStored) return;
    const { snapshotRecords } = metrics;
    snapshotRecords.add(count - deleted - superseded - this.#omitted, 'stored');
    snapshotRecords.add(deleted, 'deleted');
    snapshotRecords.add(superseded, 'superseded');
    this.#owner.onSettled(count);
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
    const { logger, metrics, clock, snapshotTopic } = this.#context;
    const { topic, partition } = this.#owner.scope;
    const { offset, key, value, headers } = record;
    const isOmission = isOmitted(headers);
    const bytes = key.length + (value?.length ?? 0);
    const detail = `the snapshot topic ${snapshotTopic} takes no record of ${bytes} bytes; raise its max.message.bytes`;
    this.#unlogged += 1;
    const now = clock.monotonic();
    if (now - this.#loggedMs >= REPEAT_LOG_MS) {
      const what = isOmission ? `${detail}: an older value of the document stays there` : detail;
      logger.error({ topic, partition, offset, error, repeated: this.#unlogged }, what);
      this.#loggedMs = now;
      this.#unlogged = 0;
    }
    if (isOmission) return null;
    metrics.snapshotRecords.add(1, 'too_large');
    if (value !== null) this.#omitted += 1;
    await this.#owner.storeTooLarge(offset, detail);
    return { ...record, value: null, headers: { ...headers, omitted: 'too_large' } };
  }
}
