import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../logger.ts';
import type { AdoptionAdmin, GroupCommit } from '../topics/adopt-partitions.ts';
import type { ClusterDescription, ExistingTopic, NewTopic, TopicAdmin } from '../topics/topic-admin-port.ts';
import { KafkajsAdmin } from './kafkajs-admin.ts';
import { kafkaClient, type KafkaConnection } from './kafkajs-port.ts';
import { ConfigResourceTypes, type KafkaClient } from './kafkajs.ts';

/** Apache Kafka's own default of `message.max.bytes`. */
const APACHE_MAX_MESSAGE_BYTES = 1_048_588;
const METADATA_TIMEOUT_MS = 30_000;
const METADATA_POLL_MS = 100;
const REQUEST_TIMEOUT_MS = 10_000;

type ResourceType = (typeof ConfigResourceTypes)['TOPIC' | 'BROKER'];

/** Opens a `KafkajsTopicAdmin` on this cluster. Connects with its first call. */
export function kafkajsTopicAdmin(connection: KafkaConnection, logger: Logger): KafkajsTopicAdmin {
  return new KafkajsTopicAdmin(kafkaClient(connection, logger));
}

/** `TopicAdmin` and `AdoptionAdmin` over kafkajs. Connects with the first call. */
export class KafkajsTopicAdmin implements TopicAdmin, AdoptionAdmin {
  readonly #admin: KafkajsAdmin;

  constructor(kafka: KafkaClient) {
    this.#admin = new KafkajsAdmin(kafka);
  }

  async describeCluster(): Promise<ClusterDescription> {
    const { brokers, clusterId } = await (await this.#admin.connected()).describeCluster();
    const [broker] = brokers;
    const settings = broker
      ? await this.#settingsOf(ConfigResourceTypes.BROKER, [String(broker.nodeId)])
      : [];
    const maxMessageBytes = settings[0]?.['message.max.bytes'];
    return {
      id: clusterId,
      brokerCount: brokers.length,
      defaultMaxMessageBytes: Number(maxMessageBytes ?? APACHE_MAX_MESSAGE_BYTES),
    };
  }

  async describeTopics(names: readonly string[]): Promise<readonly ExistingTopic[]> {
    const topics = await this.#admin.metadataOf(names);
    if (topics.length === 0) return [];
    const settings = await this.#settingsOf(
      ConfigResourceTypes.TOPIC,
      topics.map(({ name }) => name),
    );
    return topics.map(({ name, partitions }, index) => ({
      name,
      partitions: partitions.length,
      replicationFactor: partitions[0]?.replicas.length ?? 0,
      settings: settings[index] ?? {},
    }));
  }

  async createTopics(topics: readonly NewTopic[]): Promise<void> {
    for (const topic of topics) await this.#create(topic);
    await this.#waitForMetadata(topics);
  }

  async growTopic(name: string, partitions: number): Promise<void> {
    const admin = await this.#admin.connected();
    await admin.createPartitions({
      topicPartitions: [{ topic: name, count: partitions }],
      timeout: REQUEST_TIMEOUT_MS,
    });
    await this.#waitForMetadata([{ name, partitions }]);
  }

  committedOffsets(groupId: string, topic: string): Promise<ReadonlyMap<number, GroupCommit>> {
    return this.#admin.committedOffsets(groupId, topic);
  }

  close(): Promise<void> {
    return this.#admin.close();
  }

  /** One topic a request: a request for several answers with the first error only. */
  async #create({ name, partitions, replicationFactor, settings }: NewTopic): Promise<void> {
    const admin = await this.#admin.connected();
    try {
      // False when the topic exists already, which is what was wanted.
      await admin.createTopics({
        waitForLeaders: false,
        timeout: REQUEST_TIMEOUT_MS,
        topics: [
          {
            topic: name,
            numPartitions: partitions,
            replicationFactor,
            configEntries: Object.entries(settings).map(([setting, value]) => ({ name: setting, value })),
          },
        ],
      });
    } catch (error) {
      throw new Error(`creating topic ${name}: ${reasonOf(error)}`, { cause: error });
    }
  }

  /** Kafka answers before all brokers know of a topic; the next call could miss it otherwise. */
  async #waitForMetadata(topics: readonly Pick<NewTopic, 'name' | 'partitions'>[]): Promise<void> {
    const deadline = Date.now() + METADATA_TIMEOUT_MS;
    for (;;) {
      const known = await this.#partitionsWithLeader(topics.map(({ name }) => name));
      const missing = topics.filter(({ name, partitions }) => (known.get(name) ?? 0) < partitions);
      if (missing.length === 0) return;
      if (Date.now() > deadline) {
        throw new Error(`topic ${missing[0]?.name} has no leaders after ${METADATA_TIMEOUT_MS / 1000} s`);
      }
      await sleep(METADATA_POLL_MS);
    }
  }

  async #partitionsWithLeader(names: readonly string[]): Promise<ReadonlyMap<string, number>> {
    try {
      const topics = await this.#admin.metadataOf(names);
      return new Map(
        topics.map(({ name, partitions }) => [name, partitions.filter(({ leader }) => leader >= 0).length]),
      );
    } catch (error) {
      if (error instanceof Error && /does not host|leader/i.test(error.message)) return new Map();
      throw error;
    }
  }

  /** The settings of each resource, in the order of `names`. */
  async #settingsOf(
    type: ResourceType,
    names: readonly string[],
  ): Promise<readonly Readonly<Record<string, string | null>>[]> {
    const admin = await this.#admin.connected();
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: names.map((name) => ({ type, name })),
    });
    return names.map((name) => {
      const entries = resources.find(({ resourceName }) => resourceName === name)?.configEntries ?? [];
      return Object.fromEntries(entries.map(({ configName, configValue }) => [configName, configValue]));
    });
  }
}

/** kafkajs hides the broker's reasons for refusing a topic in the errors of an aggregate. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError || (error instanceof Error && 'errors' in error)) {
    const [first] = error.errors as readonly unknown[];
    if (first instanceof Error) return first.message;
  }
  return error instanceof Error ? error.message : String(error);
}
