import { documentKey } from '../../schemas/document-key.ts';
import type { Hash64 } from '../../schemas/hash64.ts';
import type { MutationDecoder } from '../../schemas/mutation-decoder.ts';
import { MutationView, type DatamartKey } from '../../schemas/mutation.ts';
import { sleep, type Clock } from '../clock.ts';
import type { ConsumedRecord, PartitionReader, TopicPartition } from '../kafka-port.ts';
import type { SchemaLoader } from '../schema-loader.ts';
import { DocumentSet, type SetMemory } from './document-set.ts';
import { readOn } from './read-on.ts';
import type { ReadSlots } from './read-slots.ts';

const SCHEMA_RETRY_MS = 1_000;

export interface TouchedDocumentsContext {
  readonly reader: PartitionReader;
  readonly decoder: MutationDecoder;
  readonly schemas: SchemaLoader;
  readonly clock: Clock;
  readonly slots: ReadSlots;
  readonly memory: SetMemory;
}

/**
 * The documents of a datamart that the mutations of a partition have changed or deleted since an offset: their rows are
 * older than what was, or will be, sent of them (PROTOCOL B3). `saw` marks those that the task dispatches from now on;
 * `scan` those between the offset and here.
 */
export class TouchedDocuments {
  readonly #context: TouchedDocumentsContext;
  readonly #datamart: DatamartKey;
  readonly #hash: Hash64;
  readonly #set: DocumentSet;
  readonly #view = new MutationView();

  constructor(context: TouchedDocumentsContext, datamart: DatamartKey, hash: Hash64) {
    this.#context = context;
    this.#datamart = datamart;
    this.#hash = hash;
    this.#set = new DocumentSet(context.memory);
  }

  get count(): number {
    return this.#set.size;
  }

  has(high: number, low: number): boolean {
    return this.#set.has(high, low);
  }

  /** A mutation of the datamart. Throws `DocumentSetFullError`. */
  saw(mutation: MutationView): void {
    const { high, low } = this.#hash.of(Buffer.from(documentKey(mutation)));
    this.#set.add(high, low);
  }

  /**
   * Marks the documents of the mutations `[from, to)`. Resolves when all are, or when `signal` aborts. Rejects with
   * `OffsetLostError` when retention has taken some of them, with `DocumentSetFullError`, or because the log can't be
   * read now.
   */
  async scan(at: TopicPartition, from: number, to: number, signal: AbortSignal): Promise<void> {
    const { reader, clock, slots } = this.#context;
    await readOn({ reader, clock, slots, at, from, to, signal }, (record) => {
      const schemaId = this.#mark(record);
      return schemaId === null ? null : this.#markLater(record, schemaId, signal);
    });
  }

  close(): void {
    this.#set.close();
  }

  async #markLater(record: ConsumedRecord, schemaId: number, signal: AbortSignal): Promise<void> {
    const { clock, schemas } = this.#context;
    while (!signal.aborted) {
      await schemas.load(schemaId, signal).catch(() => undefined);
      if (this.#mark(record) === null) return;
      await sleep(clock, SCHEMA_RETRY_MS, signal);
    }
  }

  /** Returns the schema that must be loaded first. What can't be decoded went to the dead letters, and to nobody. */
  #mark({ value }: ConsumedRecord): number | null {
    if (value === null) return null;
    const { decoder } = this.#context;
    const status = decoder.decode(value, this.#view, (datamart) => datamart === this.#datamart);
    if (status === 'schema_needed') return decoder.schemaId;
    if (status === 'ok') this.saw(this.#view);
    return null;
  }
}
