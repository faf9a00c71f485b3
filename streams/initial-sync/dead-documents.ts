import type { Hash64 } from '../../schemas/hash64.ts';
import type { Clock } from '../clock.ts';
import type { PartitionReader, TopicPartition } from '../kafka-port.ts';
import { DocumentSet, type SetMemory } from './document-set.ts';
import { readOn } from './read-on.ts';
import type { ReadSlots } from './read-slots.ts';

export interface DeadDocumentsContext {
  readonly reader: PartitionReader;
  readonly clock: Clock;
  readonly slots: ReadSlots;
  readonly memory: SetMemory;
}

/**
 * The documents of a datamart whose newest record in a snapshot partition is null: a compacted log may still hold older
 * rows of them, which must not be sent (PROTOCOL B1).
 */
export class DeadDocuments {
  readonly #context: DeadDocumentsContext;
  readonly #keyPrefix: Buffer;
  readonly #hash: Hash64;
  readonly #set: DocumentSet;

  constructor(context: DeadDocumentsContext, datamartId: string, hash: Hash64) {
    this.#context = context;
    this.#keyPrefix = Buffer.from(`${datamartId}/`);
    this.#hash = hash;
    this.#set = new DocumentSet(context.memory);
  }

  get count(): number {
    return this.#set.size;
  }

  /** Whether the key of a snapshot record is one of the datamart's. */
  isOwn(key: Buffer | null): key is Buffer {
    const prefix = this.#keyPrefix;
    if (key === null || key.length < prefix.length) return false;
    for (let i = 0; i < prefix.length; i += 1) if (key[i] !== prefix[i]) return false;
    return true;
  }

  has(high: number, low: number): boolean {
    return this.#set.has(high, low);
  }

  /** Reads the keys of `[from, to)`. Rejects as `readOn` does, and with `DocumentSetFullError`. */
  async scan(at: TopicPartition, from: number, to: number, signal: AbortSignal): Promise<void> {
    const { reader, clock, slots } = this.#context;
    const range = { reader, clock, slots, at, from, to, signal, needed: 'keys' } as const;
    await readOn(range, (record) => {
      // Most snapshots hold few tombstones, and a row takes nothing out of an empty set.
      if (record.value !== null && this.#set.size === 0) return null;
      const { key, value } = record;
      if (!this.isOwn(key)) return null;
      const { high, low } = this.#hash.of(key);
      if (value === null) this.#set.add(high, low);
      else this.#set.delete(high, low);
      return null;
    });
  }

  close(): void {
    this.#set.close();
  }
}
