import type { GroupCommit } from '../topics/adopt-partitions.ts';
import { safeOffset } from './cluster.ts';
import type { Admin, KafkaClient } from './kafkajs.ts';

type TopicMetadata = Awaited<ReturnType<Admin['fetchTopicMetadata']>>['topics'];

/** kafkajs' admin client, connected with its first use, and what all that use it ask. */
export class KafkajsAdmin {
  readonly #admin: Admin;
  #connecting: Promise<void> | null = null;

  constructor(kafka: KafkaClient) {
    this.#admin = kafka.admin();
  }

  /** Rejects when no broker can be reached; the next call tries again. */
  async connected(): Promise<Admin> {
    this.#connecting ??= this.#admin.connect().catch((error: unknown) => {
      this.#connecting = null;
      throw error;
    });
    await this.#connecting;
    return this.#admin;
  }

  /** Of those of the topics that exist. */
  async metadataOf(topics: readonly string[]): Promise<TopicMetadata> {
    const admin = await this.connected();
    // Asking for the metadata of a missing topic could make it (auto.create.topics.enable).
    const all = new Set(await admin.listTopics());
    const present = topics.filter((topic) => all.has(topic));
    return present.length === 0 ? [] : (await admin.fetchTopicMetadata({ topics: present })).topics;
  }

  /** What the group has committed in the topic, by partition; partitions without a commit aren't in it. */
  async committedOffsets(groupId: string, topic: string): Promise<ReadonlyMap<number, GroupCommit>> {
    const admin = await this.connected();
    const [answer] = await admin.fetchOffsets({ groupId, topics: [topic] });
    const commits = (answer?.partitions ?? []).map(
      ({ partition, offset, metadata }) => [partition, { offset: safeOffset(offset), metadata }] as const,
    );
    return new Map(commits.filter(([, { offset }]) => offset >= 0));
  }

  /** Idempotent. */
  async close(): Promise<void> {
    if (!this.#connecting) return;
    await this.#connecting.catch(() => undefined);
    this.#connecting = null;
    await this.#admin.disconnect();
  }
}
