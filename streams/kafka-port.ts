/**
 * What the engine needs of Kafka, and nothing more. `streams/kafka/` keeps these promises with kafkajs; tests and
 * simulations keep them in memory.
 *
 * Offsets are safe integers here (checked where they enter) and decimal strings in records.
 */

/** A moment on both clocks: one may be set, the other stands still while the machine sleeps. */
export interface Instant {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** A record as it was read. `key`, `value` and headers are views on the fetch response: copy what is kept. */
export interface ConsumedRecord {
  readonly offset: number;
  /** Kafka's timestamp, in ms since 1970 UTC. */
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: RecordHeaders;
}

export type RecordHeaders = Readonly<
  Record<string, Buffer | string | readonly (Buffer | string)[] | undefined>
>;

/** Consecutive records of one partition. */
export interface ConsumedBatch extends TopicPartition {
  /** The offset that was asked for. A batch whose `fetchedOffset` isn't the task's position is stale. */
  readonly fetchedOffset: number;
  /** The offset to go on from: beyond control records and compaction gaps too. */
  readonly nextOffset: number;
  /** The log's end as the broker told it with this batch. */
  readonly highWatermark: number;
  readonly records: readonly ConsumedRecord[];
  /**
   * Of what a `PartitionReader` has read: its bytes may be written over from now on. Nobody has to call it; who does looks
   * at none of its records any more. A second call does nothing.
   */
  readonly release?: () => void;
}

/** What the group's coordinator knows of one partition. */
export interface CommittedOffset extends TopicPartition {
  /** Null when the group has no offset for the partition. */
  readonly offset: number | null;
  readonly metadata: string | null;
  readonly logStart: number;
  readonly logEnd: number;
}

export interface OffsetToCommit extends TopicPartition {
  readonly offset: number;
  readonly metadata: string;
}

/** One generation of the group, as this member knows it. Commits are written under it and fenced by the coordinator. */
export interface Generation {
  readonly generationId: number;
  readonly memberId: string;
}

export interface GroupListener {
  /**
   * The member has joined: these partitions are its own from now on, all paused, and all those of an earlier call are
   * gone. Called synchronously, before anything is fetched.
   */
  onAssigned(partitions: readonly TopicPartition[], generation: Generation): void;
  /** The group is about to rebalance: the partitions may have another owner soon. Called synchronously. */
  onRebalancing(): void;
  /**
   * The member is about to join anew, or to leave because its consumer has crashed: it does so when this resolves.
   * Nothing may start from the call on (PROTOCOL A3).
   */
  beforeRejoin(): Promise<void>;
  /** The coordinator has answered a heartbeat or sync of this member; `sentAt` is when that was written. */
  onProven(sentAt: Instant): void;
  /** Hands over a fetched batch. Called synchronously; must only take it up and return. */
  onBatch(batch: ConsumedBatch): void;
  /** The fetch loop goes round: something was fetched, or nothing was there. */
  onFetched(): void;
  /** The consumer can't go on by itself. */
  onCrash(crash: ConsumerCrash): void;
}

export interface ConsumerCrash {
  readonly error: Error;
  /** True when another consumer would come to the same end: what is in the log can't be read. */
  readonly isHopeless: boolean;
  /** True when it lies with Kafka, which may be away: another consumer is right as soon as it is back. */
  readonly isTransient: boolean;
}

/** This instance's membership in the consumer group on the mutation topics. */
export interface GroupConsumer {
  /** Joins the group and fetches until `stop`. */
  start(listener: GroupListener): Promise<void>;
  /** Sets the next offset to fetch and starts fetching. This and the next two do nothing outside of the group. */
  resumeAt(partition: TopicPartition, offset: number): void;
  pause(partition: TopicPartition): void;
  resume(partition: TopicPartition): void;
  /** Reads offset and metadata of the group's commits together with the log's bounds. One try. */
  committed(partitions: readonly TopicPartition[]): Promise<readonly CommittedOffset[]>;
  /** Commits under `generation`, in one try: the coordinator refuses it when the generation is over. */
  commit(offsets: readonly OffsetToCommit[], generation: Generation): Promise<void>;
  /** Leaves the group. Idempotent. */
  stop(): Promise<void>;
}

/** What of its records somebody looks at; of a value with `keys` only whether it is null. Default: all. */
export type NeededOfRecords = 'all' | 'keys';

/** How much one read of a partition brings at most, in MiB, but for a single record that is larger. */
export const READ_MIB: Readonly<Record<NeededOfRecords, number>> = { all: 1, keys: 4 };

/** Reads partitions outside the group, from any offset: global tables, replays, single records. */
export interface PartitionReader {
  /** First offset that is there, and the one after the last that can be read (the last stable offset). */
  bounds(partition: TopicPartition): Promise<{ readonly start: number; readonly end: number }>;
  /**
   * Reads on from `offset`, waiting up to `maxWaitMs` for the first byte. Empty when nothing came. Rejects when `offset`
   * isn't in the log. Who needs no more than `keys` may get empty values where there are some, and no headers.
   */
  read(
    partition: TopicPartition,
    offset: number,
    maxWaitMs: number,
    needed?: NeededOfRecords,
  ): Promise<ConsumedBatch>;
  close(): Promise<void>;
}

/** A record to be stored. */
export interface ProducedRecord {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: RecordHeaders;
  readonly timestamp?: number;
}

/** Where records of one `send` were stored, one after another. */
export interface StoredBatch {
  readonly partition: number;
  /** Of the first of them. */
  readonly baseOffset: number;
}

/** Stores records with acknowledgement by all in-sync replicas, in one try; the retry loops are the callers'. */
export interface Producer {
  /**
   * Resolves when all are stored, and says where. Rejects with `RecordTooLargeError` when the topic refuses one for its
   * size.
   */
  send(topic: string, records: readonly ProducedRecord[]): Promise<readonly StoredBatch[]>;
  close(): Promise<void>;
}

/** Records that are appended together. They are made when they are asked for: thousands needn't be held as objects. */
export interface RecordList<R extends ProducedRecord = ProducedRecord> {
  readonly length: number;
  /** At least what keys, values and headers have in all, in bytes; ten more for each header. */
  readonly maxBytes: number;
  /** The record at `i`, which must be below `length`. */
  at(i: number): R;
  /** Those in `[from, to)`. */
  slice(from: number, to: number): RecordList<R>;
}

/** What became of one attempt to append records to a partition. */
export type AppendOutcome =
  /** All in-sync replicas have them; the first one has this offset, the others follow. */
  | { readonly kind: 'stored'; readonly baseOffset: number }
  /** `mayStart` said no: nothing was sent. */
  | { readonly kind: 'not_started' }
  /**
   * Not confirmed, and over: either nothing was sent, or the broker has answered for it. They may be stored all the same
   * (too few replicas confirmed it in time), but nothing of this attempt can be stored later.
   */
  | { readonly kind: 'failed'; readonly error: Error }
  /** Sent, and no answer came: they may be stored, now or later. */
  | { readonly kind: 'open'; readonly error: Error }
  /** The topic takes no batch of this size; nothing was stored. */
  | { readonly kind: 'too_large'; readonly error: Error };

/** Appends to partitions that its callers choose: for what is copied in bulk, and must keep its order. */
export interface PartitionWriter {
  /**
   * Appends the records as one batch, in one try that ends within an attempt's deadline (PROTOCOL A3) after it was
   * written. At most one append of a partition may be under way. `mayStart` is asked in the very step that writes; until
   * it resolves the records' bytes must stay as they are. Never rejects.
   */
  append(at: TopicPartition, records: RecordList, mayStart: () => boolean): Promise<AppendOutcome>;
  /** Idempotent. What is under way fails. */
  close(): Promise<void>;
}

/** The topic takes no record of this size. */
export class RecordTooLargeError extends Error {
  override readonly name = 'RecordTooLargeError';
}

/** What the composition root hands to the engine. */
export interface KafkaPort {
  groupConsumer(groupId: string, topics: readonly string[]): GroupConsumer;
  partitionReader(): PartitionReader;
  producer(): Producer;
  partitionWriter(): PartitionWriter;
}
