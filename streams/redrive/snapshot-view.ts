import { createHash } from 'node:crypto';
import type { MutationSource } from '../../schemas/mutation-source.ts';
import type { Random } from '../backoff.ts';
import type { Clock } from '../clock.ts';
import type { ConsumedRecord, PartitionReader, TopicPartition } from '../kafka-port.ts';
import { isMoved, sourceOf } from '../snapshot/snapshot-headers.ts';
import { readPersistently } from './persistent-read.ts';

/**
 * Whether the snapshot still holds a mutation as its document's newest.
 * - `unknown`: it says nothing of the document.
 */
export type SnapshotVerdict = 'newest' | 'superseded' | 'unknown';

/** Asked by a redrive, which must not put an older value after a newer one. */
export interface SnapshotView {
  /** From now on questions are about these documents of one mutation partition. */
  watch(source: TopicPartition, documentKeys: ReadonlySet<string>): Promise<void>;
  /** Reads on to the snapshot's end of this moment. */
  refresh(): Promise<void>;
  /** `offset` and `hash` (`valueHash`) are those of the mutation in question. */
  verdict(documentKey: string, offset: number, hash: string): SnapshotVerdict;
}

export interface KafkaSnapshotViewOptions {
  readonly reader: PartitionReader;
  /** The snapshot topics that exist, by their mutation topics. */
  readonly topics: ReadonlyMap<string, string>;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/** What the snapshot has of a document: its newest mutation's place, or, where no header tells it, its bytes. */
type Newest = MutationSource | { readonly hash: string };

const MAX_WAIT_MS = 250;

/**
 * Reads the snapshot topic's partition of the same number, whole, and keeps what concerns the watched documents: the
 * header `source`, `<partition count>-<partition>-<offset>`, of the last record of each key.
 */
export class KafkaSnapshotView implements SnapshotView {
  readonly #options: KafkaSnapshotViewOptions;
  readonly #newest = new Map<string, Newest>();
  #at: TopicPartition | null = null;
  #sourcePartition = 0;
  #keys: ReadonlySet<string> = new Set();
  #position = 0;

  constructor(options: KafkaSnapshotViewOptions) {
    this.#options = options;
  }

  async watch(source: TopicPartition, documentKeys: ReadonlySet<string>): Promise<void> {
    const topic = this.#options.topics.get(source.topic);
    this.#newest.clear();
    this.#keys = documentKeys;
    this.#sourcePartition = source.partition;
    this.#at = topic === undefined ? null : { topic, partition: source.partition };
    const at = this.#at;
    if (!at) return;
    this.#position = (await this.#persistently(at, () => this.#options.reader.bounds(at))).start;
    await this.refresh();
  }

  async refresh(): Promise<void> {
    const { reader, signal } = this.#options;
    const at = this.#at;
    if (!at || this.#keys.size === 0) return;
    const { end } = await this.#persistently(at, () => reader.bounds(at));
    while (this.#position < end && !signal.aborted) {
      const batch = await this.#persistently(at, () => reader.read(at, this.#position, MAX_WAIT_MS));
      for (const record of batch.records) if (record.offset >= this.#position) this.#take(record);
      this.#position = Math.max(this.#position, batch.nextOffset);
    }
  }

  #persistently<Value>({ topic }: TopicPartition, read: () => Promise<Value>): Promise<Value> {
    return readPersistently({ ...this.#options, topic }, read);
  }

  verdict(documentKey: string, offset: number, hash: string): SnapshotVerdict {
    const newest = this.#newest.get(documentKey);
    if (!newest) return 'unknown';
    const isNewest =
      'hash' in newest
        ? newest.hash === hash
        : newest.offset === offset && newest.partition === this.#sourcePartition;
    return isNewest ? 'newest' : 'superseded';
  }

  #take({ key, value, headers }: ConsumedRecord): void {
    const documentKey = key?.toString();
    if (documentKey === undefined || !this.#keys.has(documentKey)) return;
    // What came of a document that has moved is told elsewhere, and not by this mutation alone.
    const source = isMoved(headers) ? null : sourceOf(headers);
    this.#newest.set(documentKey, source ?? { hash: valueHash(value) });
  }
}

/** Tells a mutation by its bytes, where nothing tells its place. */
export function valueHash(value: Buffer | null): string {
  return value === null ? '' : createHash('sha256').update(value).digest('base64');
}
