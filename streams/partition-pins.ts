import type { TopicPartition } from './kafka-port.ts';
import type { TableWriter } from './table-writer.ts';

const PREFIX = 'partitions/';

/**
 * How many partitions of each mutation topic are worked on (PROTOCOL C6): pinned in `replication-status` at the first
 * start. Producers hash a user to another partition once there are more, so records of further ones are held until an
 * operator adopts them: a user's newer operation must not overtake an older one that waits elsewhere.
 */
export class PartitionPins {
  readonly #writer: TableWriter;
  readonly #counts = new Map<string, number>();

  constructor(writer: TableWriter) {
    this.#writer = writer;
  }

  /** Applies a record of the status topic; returns false when it is none of these. */
  apply(key: string, value: Buffer | null): boolean {
    if (!key.startsWith(PREFIX)) return false;
    const topic = key.slice(PREFIX.length);
    const count = value && readCount(value);
    if (count) this.#counts.set(topic, count);
    else this.#counts.delete(topic);
    return true;
  }

  /** Pins what isn't pinned yet, or has fewer partitions than that: a topic made anew. Resolves when that is durable. */
  async pin(counts: ReadonlyMap<string, number>): Promise<void> {
    const writes = [...counts].flatMap(([topic, count]) => {
      if (this.countOf(topic) > 0 && this.countOf(topic) <= count) return [];
      this.#counts.set(topic, count);
      return [this.#write(topic, count)];
    });
    await Promise.all(writes);
  }

  /** Has more partitions of the topic worked on. Resolves with true when that is durable, with false when it is given up. */
  adopt(topic: string, count: number): Promise<boolean> {
    this.#counts.set(topic, count);
    return this.#write(topic, count);
  }

  /** By topic. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  /** The pinned count, or 0 when nothing is pinned. */
  countOf(topic: string): number {
    return this.#counts.get(topic) ?? 0;
  }

  isHeld({ topic, partition }: TopicPartition): boolean {
    const count = this.#counts.get(topic);
    return count !== undefined && partition >= count;
  }

  #write(topic: string, count: number): Promise<boolean> {
    return this.#writer.write(PREFIX + topic, Buffer.from(JSON.stringify({ v: 1, topic, count })));
  }
}

function readCount(value: Buffer): number | null {
  try {
    const { count } = JSON.parse(value.toString('utf8')) as { count?: unknown };
    return typeof count === 'number' && Number.isSafeInteger(count) && count > 0 ? count : null;
  } catch {
    return null;
  }
}
