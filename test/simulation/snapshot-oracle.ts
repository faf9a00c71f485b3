import { parseMutationSource } from '../../schemas/mutation-source.ts';
import type { ProducedRecord } from '../../streams/kafka-port.ts';

/** A mutation, as far as the snapshot is concerned. */
export interface SnapshotMutation {
  /** Of its snapshot record; null when it can't be decoded. */
  readonly key: string | null;
  /** What the snapshot must hold: null for a deletion. */
  readonly value: Buffer | null;
}

interface SnapshotPartition {
  readonly mutations: SnapshotMutation[];
  /** Retention took them before a commit said that they were taken up: nobody promises them. */
  excusedBelow: number;
  committed: number;
  /** By key: the offset of the mutation whose record came last, and the greatest of all that came. */
  readonly stored: Map<string, { last: number; newest: number }>;
}

export interface SnapshotOracleOptions {
  readonly violated: (what: string) => void;
  /** Both clocks of a process stood still: PROTOCOL D allows an older value after a newer one. */
  readonly isOrderRelaxed: () => boolean;
}

/**
 * Knows what the snapshot must hold, sees every record that is stored there, and says when a promise is broken: no commit
 * is ahead of what is stored (PROTOCOL B2), and in the end the last record of each document is its newest mutation (B6).
 */
export class SnapshotOracle {
  readonly #partitions: readonly SnapshotPartition[];
  readonly #options: SnapshotOracleOptions;

  constructor(partitions: number, options: SnapshotOracleOptions) {
    this.#partitions = Array.from({ length: partitions }, () => ({
      mutations: [],
      excusedBelow: 0,
      committed: 0,
      stored: new Map(),
    }));
    this.#options = options;
  }

  /** The next mutation of the partition was stored. */
  produced(partition: number, mutation: SnapshotMutation): void {
    this.#partitions[partition]!.mutations.push(mutation);
  }

  /** A record of the snapshot was stored. */
  onAppend(partition: number, { key, value, headers }: ProducedRecord): void {
    const { mutations, stored, committed } = this.#partitions[partition]!;
    const source = parseMutationSource(String(headers.source));
    const mutation = source && mutations[source.offset];
    const text = key?.toString() ?? '';
    if (!source || !mutation || source.partition !== partition || mutation.key !== text) {
      this.#options.violated(
        `the snapshot got p${partition} ${text} of ${String(headers.source)}, which is another document`,
      );
      return;
    }
    if (value === null ? mutation.value !== null : !mutation.value?.equals(value))
      this.#options.violated(`the snapshot got other bytes of p${partition} offset ${source.offset}`);
    const before = stored.get(text)?.newest ?? -1;
    // Nobody stores the newer one again: it is committed.
    if (source.offset < before && before < committed && !this.#options.isOrderRelaxed())
      this.#options.violated(
        `the snapshot record of p${partition} ${source.offset} came after that of ${before}, of the same document`,
      );
    stored.set(text, { last: source.offset, newest: Math.max(source.offset, before) });
  }

  /** Whether the snapshot got the mutation at this offset, or a newer one of its document. */
  hasGot(partition: number, offset: number): boolean {
    const { mutations, stored } = this.#partitions[partition]!;
    const key = mutations[offset]?.key ?? null;
    return key !== null && (stored.get(key)?.newest ?? -1) >= offset;
  }

  /** Retention took what is below `start`. */
  retained(partition: number, start: number): void {
    this.#partitions[partition]!.excusedBelow = start;
  }

  /** A commit says that everything below `offset` is settled. */
  onCommit(partition: number, offset: number): void {
    const of = this.#partitions[partition]!;
    for (let at = Math.max(of.committed, of.excusedBelow); at < offset; at += 1) {
      const key = of.mutations[at]?.key ?? null;
      if (key === null || (of.stored.get(key)?.newest ?? -1) >= at) continue;
      this.#options.violated(`the commit p${partition} ${offset} is ahead of the snapshot record of ${at}`);
      break;
    }
    of.committed = Math.max(of.committed, offset);
  }

  /** At rest: the last record of each document is of its newest mutation. */
  atRest(): void {
    if (this.#options.isOrderRelaxed()) return;
    for (const [partition, { stored }] of this.#partitions.entries())
      for (const [key, { last, newest }] of stored)
        if (last < newest)
          this.#options.violated(
            `the last snapshot record of ${key} in p${partition} is that of ${last}, not of ${newest}`,
          );
  }
}
