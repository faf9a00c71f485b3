import type { Clock } from './clock.ts';
import type { PartitionReader, TopicPartition } from './kafka-port.ts';
import type { AdoptionAdmin } from './topics/adopt-partitions.ts';

/** What was asked so long ago is asked again. */
const FRESH_MS = 2_000;

/** How far the group is on a partition of a mutation topic. */
export interface PartitionProgress extends TopicPartition {
  /** Null when the group has committed nothing there. */
  readonly committed: number | null;
  readonly end: number;
  /** How long ago the record at `committed` was stored; 0 when none waits, null when that can't be told. */
  readonly lagMs: number | null;
}

export interface GroupProgressOptions {
  readonly groupId: string;
  readonly topics: readonly string[];
  readonly admin: Pick<AdoptionAdmin, 'committedOffsets'>;
  readonly partitionsOf: (topic: string) => Promise<number>;
  readonly reader: PartitionReader;
  readonly clock: Clock;
}

/** Tells how far the group is on the mutation topics, from outside the group: for the API and for commands. */
export class GroupProgress {
  readonly #options: GroupProgressOptions;
  readonly #timestamps = new Map<string, { readonly offset: number; readonly timestamp: number }>();
  #asked: { readonly atMs: number; readonly answer: Promise<readonly PartitionProgress[]> } | null = null;

  constructor(options: GroupProgressOptions) {
    this.#options = options;
  }

  /** Of every partition, at most 2 s old. Rejects when Kafka can't be asked. */
  read(): Promise<readonly PartitionProgress[]> {
    const now = this.#options.clock.monotonic();
    if (this.#asked && now - this.#asked.atMs < FRESH_MS) return this.#asked.answer;
    const answer = this.#ask();
    this.#asked = { atMs: now, answer };
    // What couldn't be asked is asked anew at once.
    answer.catch(() => {
      this.#asked = null;
    });
    return answer;
  }

  async #ask(): Promise<readonly PartitionProgress[]> {
    const topics = await Promise.all(this.#options.topics.map((topic) => this.#askTopic(topic)));
    return topics.flat();
  }

  async #askTopic(topic: string): Promise<readonly PartitionProgress[]> {
    const { admin, groupId, partitionsOf, reader } = this.#options;
    const [commits, count] = await Promise.all([admin.committedOffsets(groupId, topic), partitionsOf(topic)]);
    const partitions = Array.from({ length: count }, (_, partition) => ({ topic, partition }));
    return await Promise.all(
      partitions.map(async (at) => {
        const { start, end } = await reader.bounds(at);
        const committed = commits.get(at.partition)?.offset ?? null;
        return { ...at, committed, end, lagMs: await this.#lagMs(at, Math.max(committed ?? 0, start), end) };
      }),
    );
  }

  async #lagMs(at: TopicPartition, position: number, end: number): Promise<number | null> {
    if (position >= end) return 0;
    const key = `${at.topic}/${at.partition}`;
    const known = this.#timestamps.get(key);
    if (known?.offset === position) return this.#ageOf(known.timestamp);
    try {
      const { records } = await this.#options.reader.read(at, position, 0);
      const timestamp = records[0]?.timestamp;
      if (timestamp === undefined) return null;
      this.#timestamps.set(key, { offset: position, timestamp });
      return this.#ageOf(timestamp);
    } catch {
      // Whoever may only see offsets sees no times.
      return null;
    }
  }

  #ageOf(timestamp: number): number {
    return Math.max(0, this.#options.clock.now() - timestamp);
  }
}
