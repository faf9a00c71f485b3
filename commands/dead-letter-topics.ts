import { createHash } from 'node:crypto';
import type { Settings } from '../config/settings.ts';
import { controlTopicsOf } from '../streams/control-tables.ts';
import type { ExistingTopic, TopicAdmin } from '../streams/topics/topic-admin-port.ts';
import { assertTopics, MissingTopicError } from './required-topics.ts';

/** What the cluster has of the topics that dead letters come from, lie in, and are compared with. */
export class DeadLetterTopics {
  readonly #settings: Settings['topics'];
  readonly #clusterId: string;
  readonly #existing: ReadonlyMap<string, ExistingTopic>;

  private constructor(
    settings: Settings['topics'],
    clusterId: string,
    existing: ReadonlyMap<string, ExistingTopic>,
  ) {
    this.#settings = settings;
    this.#clusterId = clusterId;
    this.#existing = existing;
  }

  /** Asks the cluster, and closes what it asked with. Rejects when it can't be asked. */
  static async describe(topics: Settings['topics'], openAdmin: () => TopicAdmin): Promise<DeadLetterTopics> {
    const admin = openAdmin();
    try {
      const { id = '' } = await admin.describeCluster();
      const { deadLetters, mutations, snapshots } = topics;
      const names = [deadLetters, ...controlTopicsOf(topics), ...mutations, ...snapshots];
      const found = await admin.describeTopics(names);
      return new DeadLetterTopics(topics, id, new Map(found.map((topic) => [topic.name, topic])));
    } finally {
      await admin.close();
    }
  }

  /** Tells this cluster and dead-letter topic from others, in a file's name. */
  get hash(): string {
    const name = `${this.#clusterId}/${this.#settings.deadLetters}`;
    return createHash('sha256').update(name).digest('hex').slice(0, 16);
  }

  /** The snapshot topics that exist, by their mutation topics. */
  get snapshots(): ReadonlyMap<string, string> {
    const { mutations, snapshots } = this.#settings;
    return new Map(
      mutations.flatMap((mutation, i) => {
        const snapshot = snapshots[i];
        return snapshot !== undefined && this.#existing.has(snapshot) ? [[mutation, snapshot] as const] : [];
      }),
    );
  }

  /** The dead-letter topic. Throws a `MissingTopicError`. */
  deadLetters(): { readonly topic: string; readonly partitions: number } {
    const { deadLetters } = this.#settings;
    const found = this.#existing.get(deadLetters);
    if (!found) throw new MissingTopicError(deadLetters);
    return { topic: deadLetters, partitions: found.partitions };
  }

  /** 0 when there is no such topic. */
  partitionCount(topic: string): number {
    return this.#existing.get(topic)?.partitions ?? 0;
  }

  /** Throws a `MissingTopicError`. */
  assertControlTopics(): void {
    assertTopics(controlTopicsOf(this.#settings), this.#existing);
  }
}
