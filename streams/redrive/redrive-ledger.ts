import type { LetterSource } from './stored-dead-letter.ts';

/** Mutations of one source partition that one replication was sent, or, with `isUndone`, is to be sent again. */
export interface LedgerEntry {
  readonly replicationId: string;
  readonly topic: string;
  readonly partition: number;
  /** Offset and Kafka timestamp of each. */
  readonly mutations: readonly (readonly [offset: number, timestamp: number])[];
  readonly isUndone: boolean;
}

/** Keeps entries where a killed process doesn't take them along. */
export interface LedgerStore {
  /** Every entry that was kept, in order. */
  load(): Promise<readonly LedgerEntry[]>;
  /** Resolves when the entry is durable. */
  append(entry: LedgerEntry): Promise<void>;
}

/**
 * What redrives have sent: which mutation to which replication. It holds coordinates only, no payload.
 *
 * A mutation is told by its place and its Kafka timestamp: offsets of a topic that was made anew begin at 0 again.
 */
export class RedriveLedger {
  readonly #store: LedgerStore;
  readonly #sent = new Map<string, Map<number, number>>();
  readonly #replicationIds = new Set<string>();
  #size = 0;

  private constructor(store: LedgerStore) {
    this.#store = store;
  }

  static async open(store: LedgerStore): Promise<RedriveLedger> {
    const ledger = new RedriveLedger(store);
    for (const entry of await store.load()) ledger.#apply(entry);
    return ledger;
  }

  get size(): number {
    return this.#size;
  }

  has(replicationId: string, { topic, partition, offset, timestamp }: LetterSource): boolean {
    return this.#sent.get(keyOf(replicationId, topic, partition))?.get(offset) === timestamp;
  }

  /** Every replication that something was sent to. */
  get replicationIds(): readonly string[] {
    return [...this.#replicationIds];
  }

  /** The replication was sent these; they are of one source partition. Resolves when that is durable. */
  async noteSent(replicationId: string, sources: readonly LetterSource[]): Promise<void> {
    await this.#note(replicationId, sources, false);
  }

  /** These are to be sent again, whoever asks from now on. */
  async forget(replicationId: string, sources: readonly LetterSource[]): Promise<void> {
    await this.#note(replicationId, sources, true);
  }

  async #note(replicationId: string, sources: readonly LetterSource[], isUndone: boolean): Promise<void> {
    const [first] = sources;
    if (!first) return;
    const entry: LedgerEntry = {
      replicationId,
      topic: first.topic,
      partition: first.partition,
      mutations: sources.map(({ offset, timestamp }) => [offset, timestamp]),
      isUndone,
    };
    await this.#store.append(entry);
    this.#apply(entry);
  }

  #apply({ replicationId, topic, partition, mutations, isUndone }: LedgerEntry): void {
    this.#replicationIds.add(replicationId);
    const key = keyOf(replicationId, topic, partition);
    const sent = this.#sent.get(key) ?? new Map<number, number>();
    this.#sent.set(key, sent);
    this.#size -= sent.size;
    for (const [offset, timestamp] of mutations) {
      if (!isUndone) sent.set(offset, timestamp);
      else if (sent.get(offset) === timestamp) sent.delete(offset);
    }
    this.#size += sent.size;
  }
}

function keyOf(replicationId: string, topic: string, partition: number): string {
  return `${replicationId} ${topic}/${partition}`;
}
