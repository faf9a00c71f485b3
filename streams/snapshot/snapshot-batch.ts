import { maxDocumentKeyBytes, writeDocumentKey } from '../../schemas/document-key.ts';
import { DELETE, type MutationView } from '../../schemas/mutation.ts';
import type { ConsumedRecord, ProducedRecord } from '../kafka-port.ts';
import type { SegmentStorage } from '../segment-pool.ts';

/** A mutation as the snapshot has it. */
export interface SnapshotRecord extends ProducedRecord {
  readonly key: Buffer;
  /** Of the mutation. */
  readonly offset: number;
}

/** What a record takes in a produce request beside key and value: its header `source`, and the lengths of everything. */
const RECORD_OVERHEAD_BYTES = 80;

/** At most so many bytes of a batch's storage takes the mutation. */
export function snapshotBytes(mutation: MutationView, value: Buffer): number {
  return maxDocumentKeyBytes(mutation) + (mutation.op === DELETE ? 0 : value.length);
}

/**
 * Mutations that go to the snapshot together, in the order of their offsets, the newest of each document only. It holds
 * copies: keys and values are bytes of its storage.
 */
export class SnapshotBatch {
  readonly storage: SegmentStorage;
  /** Of the first mutation that was put, whether or not a newer one took its place. */
  readonly firstOffset: number;
  /** By the key's bytes as Latin-1 text. */
  readonly #records = new Map<string, SnapshotRecord>();
  #end = 0;
  #wireBytes = 0;
  #count = 0;

  constructor(storage: SegmentStorage, firstOffset: number) {
    this.storage = storage;
    this.firstOffset = firstOffset;
  }

  /** The newest of each document. */
  get records(): readonly SnapshotRecord[] {
    return [...this.#records.values()];
  }

  /** Mutations that were put. */
  get count(): number {
    return this.#count;
  }

  get byteLength(): number {
    return this.#end;
  }

  /** Whether `bytes` more (`snapshotBytes`) fit the storage and a request of `maxWireBytes`. An empty batch takes any. */
  hasRoomFor(bytes: number, maxWireBytes: number): boolean {
    if (this.#end + bytes > this.storage.data.length) return false;
    return this.#count === 0 || this.#wireBytes + bytes + RECORD_OVERHEAD_BYTES <= maxWireBytes;
  }

  /** Copies the mutation, with what names its place (`source`). There must be room for it. */
  put(mutation: MutationView, { offset, value }: ConsumedRecord, source: string, timestamp: number): void {
    const { data } = this.storage;
    const start = this.#end;
    const keyEnd = writeDocumentKey(mutation, data, start);
    const isDeleted = mutation.op === DELETE || value === null;
    this.#end = isDeleted ? keyEnd : keyEnd + value.copy(data, keyEnd);
    const name = data.toString('latin1', start, keyEnd);
    // Moved to the end, so that records stay in the order of their offsets.
    this.#records.delete(name);
    this.#records.set(name, {
      key: data.subarray(start, keyEnd),
      value: isDeleted ? null : data.subarray(keyEnd, this.#end),
      headers: { source },
      timestamp,
      offset,
    });
    this.#wireBytes += this.#end - start + RECORD_OVERHEAD_BYTES;
    this.#count += 1;
  }
}
