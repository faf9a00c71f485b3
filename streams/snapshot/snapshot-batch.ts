import { maxDocumentKeyBytes, writeDocumentKey } from '../../schemas/document-key.ts';
import { murmur2 } from '../../schemas/murmur2.ts';
import { formatMutationSource } from '../../schemas/mutation-source.ts';
import { DELETE, type MutationView } from '../../schemas/mutation.ts';
import type { ConsumedRecord, ProducedRecord, RecordList } from '../kafka-port.ts';
import type { SegmentStorage } from '../segment-pool.ts';

/** A mutation as the snapshot has it. */
export interface SnapshotRecord extends ProducedRecord {
  readonly key: Buffer;
  /** Of the mutation. */
  readonly offset: number;
}

/** Where the mutations come from. */
export interface SnapshotOrigin {
  readonly partition: number;
  readonly partitionCount: number;
}

/** What a batch holds at most. */
const MAX_ENTRIES = 1_000;
/** At most half of the slots are taken. */
const SLOTS = 2_048;
const EMPTY = -1;
/** At most so many bytes have name and value of the header `source`, with their lengths. */
const HEADER_BYTES = 64;
/** What Kafka's format adds to a record: the lengths of everything. */
const FRAMING_BYTES = 32;

/** What becomes of an entry: stored with its value, stored as a deletion, or left out for a newer one. */
const ROW = 0;
const DELETION = 1;
const SUPERSEDED = 2;

/** What a batch notes of its entries, to be used again when the batch is gone: 37 KB are more than most batches hold. */
export class SnapshotColumns {
  /** By entry: where its key and its value end; it begins where the entry before ends. */
  readonly keyEnds = new Int32Array(MAX_ENTRIES);
  readonly ends = new Int32Array(MAX_ENTRIES);
  readonly kinds = new Uint8Array(MAX_ENTRIES);
  readonly hashes = new Int32Array(MAX_ENTRIES);
  readonly offsets = new Float64Array(MAX_ENTRIES);
  readonly timestamps = new Float64Array(MAX_ENTRIES);
  /** By the key's hash, open addressing: the newest entry of each document. */
  readonly slots = new Int32Array(SLOTS);
}

/** At most so many bytes of a batch's storage takes the mutation. */
export function snapshotBytes(mutation: MutationView, value: Buffer): number {
  return maxDocumentKeyBytes(mutation) + (mutation.op === DELETE ? 0 : value.length);
}

/**
 * Mutations that go to the snapshot together, in the order of their offsets, the newest of each document only. It holds
 * copies: keys and values are bytes of its storage.
 *
 * It waits for its answer for many times as long as it takes to fill, so nothing here is an object per mutation: those
 * would live just long enough to be the garbage collector's most expensive ones.
 */
export class SnapshotBatch {
  readonly storage: SegmentStorage;
  readonly columns: SnapshotColumns;
  /** Of the first mutation that was put, whether or not a newer one took its place. */
  readonly firstOffset: number;
  readonly #origin: SnapshotOrigin;
  #count = 0;
  #deleted = 0;
  #superseded = 0;

  /** Storage and columns are the batch's own until nobody reads its records any more. */
  constructor(
    storage: SegmentStorage,
    columns: SnapshotColumns,
    firstOffset: number,
    origin: SnapshotOrigin,
  ) {
    this.storage = storage;
    this.columns = columns;
    columns.slots.fill(EMPTY);
    this.firstOffset = firstOffset;
    this.#origin = origin;
  }

  /** Mutations that were put. */
  get count(): number {
    return this.#count;
  }

  /** Of them, those that a newer one has taken the place of. */
  get superseded(): number {
    return this.#superseded;
  }

  /** Of the others, those that delete their document. */
  get deleted(): number {
    return this.#deleted;
  }

  get byteLength(): number {
    return this.#startOf(this.#count);
  }

  /** Whether `bytes` more (`snapshotBytes`) fit the storage and a request of `maxWireBytes`. An empty batch takes any. */
  hasRoomFor(bytes: number, maxWireBytes: number): boolean {
    const end = this.byteLength + bytes;
    if (this.#count === MAX_ENTRIES || end > this.storage.data.length) return false;
    return this.#count === 0 || end + (this.#count + 1) * (HEADER_BYTES + FRAMING_BYTES) <= maxWireBytes;
  }

  /** Copies the mutation, dated `timestamp`. There must be room for it. */
  put(mutation: MutationView, { offset, value }: ConsumedRecord, timestamp: number): void {
    const { data } = this.storage;
    const { keyEnds, ends, kinds, hashes, offsets, timestamps, slots } = this.columns;
    const entry = this.#count++;
    const start = this.#startOf(entry);
    const keyEnd = writeDocumentKey(mutation, data, start);
    const isDeleted = mutation.op === DELETE || value === null;
    keyEnds[entry] = keyEnd;
    ends[entry] = isDeleted ? keyEnd : keyEnd + value.copy(data, keyEnd);
    kinds[entry] = isDeleted ? DELETION : ROW;
    hashes[entry] = murmur2(data, start, keyEnd);
    offsets[entry] = offset;
    timestamps[entry] = timestamp;
    if (isDeleted) this.#deleted += 1;
    const slot = this.#slotOf(entry);
    const older = slots[slot] ?? EMPTY;
    if (older !== EMPTY) this.#supersede(older);
    slots[slot] = entry;
  }

  /** What is to be stored now; it doesn't change when more is put. */
  records(): RecordList<SnapshotRecord> {
    const entries = new Int32Array(this.#count - this.#superseded);
    let length = 0;
    for (let entry = 0; entry < this.#count; entry++)
      if (this.columns.kinds[entry] !== SUPERSEDED) entries[length++] = entry;
    return new BatchRecords(this, entries);
  }

  /** The record of an entry. */
  recordOf(entry: number): SnapshotRecord {
    const { data } = this.storage;
    const keyEnd = this.columns.keyEnds[entry] ?? 0;
    const offset = this.columns.offsets[entry] ?? 0;
    const { partition, partitionCount } = this.#origin;
    return {
      key: data.subarray(this.#startOf(entry), keyEnd),
      value: this.columns.kinds[entry] === DELETION ? null : data.subarray(keyEnd, this.#startOf(entry + 1)),
      headers: { source: formatMutationSource({ partition, partitionCount, offset }) },
      timestamp: this.columns.timestamps[entry] ?? 0,
      offset,
    };
  }

  /** Key, value and header of an entry, in bytes. */
  bytesOf(entry: number): number {
    return this.#startOf(entry + 1) - this.#startOf(entry) + HEADER_BYTES;
  }

  #supersede(entry: number): void {
    if (this.columns.kinds[entry] === DELETION) this.#deleted -= 1;
    this.columns.kinds[entry] = SUPERSEDED;
    this.#superseded += 1;
  }

  #startOf(entry: number): number {
    return entry === 0 ? 0 : (this.columns.ends[entry - 1] ?? 0);
  }

  /** Where the entry's document has its newest entry, or the empty slot where it belongs. */
  #slotOf(entry: number): number {
    let slot = (this.columns.hashes[entry] ?? 0) & (SLOTS - 1);
    for (;;) {
      const other = this.columns.slots[slot] ?? EMPTY;
      if (other === EMPTY || this.#isSameDocument(other, entry)) return slot;
      slot = (slot + 1) & (SLOTS - 1);
    }
  }

  #isSameDocument(a: number, b: number): boolean {
    if (this.columns.hashes[a] !== this.columns.hashes[b]) return false;
    const { data } = this.storage;
    const [startA, endA] = [this.#startOf(a), this.columns.keyEnds[a] ?? 0];
    const [startB, endB] = [this.#startOf(b), this.columns.keyEnds[b] ?? 0];
    return data.compare(data, startA, endA, startB, endB) === 0;
  }
}

/** Some entries of a batch. */
class BatchRecords implements RecordList<SnapshotRecord> {
  readonly #batch: SnapshotBatch;
  readonly #entries: Int32Array;

  constructor(batch: SnapshotBatch, entries: Int32Array) {
    this.#batch = batch;
    this.#entries = entries;
  }

  get length(): number {
    return this.#entries.length;
  }

  get maxBytes(): number {
    return this.#entries.reduce((sum, entry) => sum + this.#batch.bytesOf(entry), 0);
  }

  at(i: number): SnapshotRecord {
    return this.#batch.recordOf(this.#entries[i] ?? 0);
  }

  slice(from: number, to: number): RecordList<SnapshotRecord> {
    return new BatchRecords(this.#batch, this.#entries.subarray(from, to));
  }
}
