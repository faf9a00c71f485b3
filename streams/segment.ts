import type { DocumentTypeIndex } from '../schemas/document-type.ts';
import { formatMutationSource, type MutationSource } from '../schemas/mutation-source.ts';
import type { DatamartKey, MutationView } from '../schemas/mutation.ts';
import type { OperationEncoder, OperationVersion } from '../schemas/operation-encoder.ts';
import type { OperationBatch } from '../sinks/sink.ts';
import type { SegmentStorage } from './segment-pool.ts';

/** Where a record came from, beside its mutation. */
export interface RecordOrigin {
  readonly offset: number;
  readonly timestamp: number;
  /** When it was fetched, in ms. */
  readonly arrival: number;
}

/** Where a row of a snapshot came from: `offset` is that of the row. */
export interface RowOrigin extends RecordOrigin {
  /** The hash of its document (`schemas/hash64.ts`). */
  readonly high: number;
  readonly low: number;
  /** The mutation that the row was made of; all 0 where that isn't known. */
  readonly source: MutationSource;
}

/** What a segment of rows keeps of each entry beside its operation. */
export class RowDetails {
  readonly #hashes: number[] = [];
  /** Partition count, partition and offset of each source. */
  readonly #sources: number[] = [];

  high(i: number): number {
    return this.#hashes[i * 2] ?? 0;
  }

  low(i: number): number {
    return this.#hashes[i * 2 + 1] ?? 0;
  }

  messageId(i: number): string {
    const [partitionCount = 0, partition = 0, offset = 0] = this.#sources.slice(i * 3, i * 3 + 3);
    return formatMutationSource({ partitionCount, partition, offset });
  }

  add({ high, low, source }: RowOrigin): void {
    this.#hashes.push(high, low);
    this.#sources.push(source.partitionCount, source.partition, source.offset);
  }
}

/**
 * Encoded operations of one (task, route, ordering lane), in the order of their mutations. All are of one datamart, whose
 * replications alone may read them (PROTOCOL C8).
 *
 * It only grows, until it is sealed; what it holds never changes, so lanes read it while it grows. It counts the lanes
 * that still need it: the last one's `release` gives the storage back.
 */
export class Segment {
  readonly datamart: DatamartKey;
  readonly version: OperationVersion;
  readonly orderingLane: number | null;
  readonly storage: SegmentStorage;
  /** Null for segments of mutations. */
  readonly rows: RowDetails | null;
  #count = 0;
  #isSealed = false;
  #owners: number;

  constructor(
    datamart: DatamartKey,
    version: OperationVersion,
    orderingLane: number | null,
    storage: SegmentStorage,
    owners: number,
    rows: RowDetails | null,
  ) {
    this.datamart = datamart;
    this.version = version;
    this.orderingLane = orderingLane;
    this.storage = storage;
    this.rows = rows;
    this.#owners = owners;
  }

  get count(): number {
    return this.#count;
  }

  get isSealed(): boolean {
    return this.#isSealed;
  }

  get byteLength(): number {
    return this.#count === 0 ? 0 : (this.storage.ends[this.#count - 1] ?? 0);
  }

  hasRoomFor(bytes: number): boolean {
    return this.#count < this.storage.ends.length && this.byteLength + bytes <= this.storage.data.length;
  }

  /** Nothing is appended from now on. */
  seal(): void {
    this.#isSealed = true;
  }

  append(encoder: OperationEncoder, mutation: MutationView, laneHash: number, origin: RecordOrigin): void {
    if (mutation.datamart !== this.datamart)
      throw new Error('a mutation came to a segment of another datamart');
    const { storage } = this;
    const i = this.#count;
    storage.ends[i] = encoder.encode(mutation, storage.data, this.byteLength);
    storage.kinds[i] = mutation.docType * 2 + mutation.op;
    storage.laneHashes[i] = laneHash;
    storage.offsets[i] = origin.offset;
    storage.timestamps[i] = origin.timestamp;
    storage.arrivals[i] = origin.arrival;
    this.rows?.add(origin as RowOrigin);
    this.#count = i + 1;
  }

  start(i: number): number {
    return i === 0 ? 0 : (this.storage.ends[i - 1] ?? 0);
  }

  offset(i: number): number {
    return this.storage.offsets[i] ?? 0;
  }

  timestamp(i: number): number {
    return this.storage.timestamps[i] ?? 0;
  }

  arrival(i: number): number {
    return this.storage.arrivals[i] ?? 0;
  }

  /** One lane needs the segment no more. Returns true when it was the last. */
  release(): boolean {
    this.#owners -= 1;
    if (this.#owners < 0) throw new Error('a segment was released more often than it has lanes');
    return this.#owners === 0;
  }
}

/** The partition that a batch's records came from, as `message_id` tells it. */
export interface MessageIdScope {
  readonly partition: number;
  readonly partitionCount: number;
}

/** Entries `[from, to)` of a segment, as sinks see them. */
export class SegmentSlice implements OperationBatch {
  readonly segment: Segment;
  readonly from: number;
  readonly count: number;
  readonly #scope: MessageIdScope;

  constructor(segment: Segment, from: number, to: number, scope: MessageIdScope) {
    this.segment = segment;
    this.from = from;
    this.count = to - from;
    this.#scope = scope;
  }

  get version(): OperationVersion {
    return this.segment.version;
  }

  get orderingLane(): number | null {
    return this.segment.orderingLane;
  }

  get data(): Buffer {
    return this.segment.storage.data;
  }

  get byteLength(): number {
    return this.end(this.count - 1) - this.start(0);
  }

  start(i: number): number {
    return this.segment.start(this.from + i);
  }

  end(i: number): number {
    return this.segment.storage.ends[this.from + i] ?? 0;
  }

  docType(i: number): DocumentTypeIndex {
    return (this.segment.storage.kinds[this.from + i] ?? 0) >> 1;
  }

  laneHash(i: number): number {
    return this.segment.storage.laneHashes[this.from + i] ?? 0;
  }

  messageId(i: number): string {
    if (this.segment.rows) return this.segment.rows.messageId(this.from + i);
    const { partition, partitionCount } = this.#scope;
    return formatMutationSource({ partition, partitionCount, offset: this.segment.offset(this.from + i) });
  }
}
