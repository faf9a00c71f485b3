import type { ConsumedBatch, PartitionReader, TopicPartition } from '../kafka-port.ts';
import { safeOffset, type Cluster, type FetchedPartition } from './cluster.ts';
import { FetchedBatch } from './fetched-batch.ts';
import { assertFetchingIsPatched } from './kafkajs-patches.ts';
import type { Consumer, KafkaClient } from './kafkajs.ts';
import { PartitionAssigners } from './kafkajs.ts';

const MAX_BYTES = 1024 * 1024;
/** Only committed records, as the group's consumer reads them. */
const READ_COMMITTED = 1;

/**
 * `PartitionReader` over kafkajs' own cluster and fetch request: no group, no heartbeat, no commit, and the position is
 * the caller's. The consumer is never run; it only carries the cluster.
 */
export class KafkajsPartitionReader implements PartitionReader {
  readonly #consumer: Consumer;
  #cluster: Cluster | null = null;
  #isConnected = false;
  #isClosed = false;

  constructor(kafka: KafkaClient, groupId: string) {
    assertFetchingIsPatched();
    this.#consumer = kafka.consumer({
      groupId,
      allowAutoTopicCreation: false,
      retry: { retries: 3, initialRetryTime: 100, maxRetryTime: 1_000 },
      partitionAssigners: [
        (config) => {
          this.#cluster = config.cluster as unknown as Cluster;
          return PartitionAssigners.roundRobin(config);
        },
      ],
    });
  }

  async bounds({ topic, partition }: TopicPartition): Promise<{ start: number; end: number }> {
    const cluster = await this.#ready(topic);
    const offset = async (fromBeginning: boolean): Promise<number> => {
      const [found] = await cluster.fetchTopicsOffset([
        { topic, partitions: [{ partition }], fromBeginning },
      ]);
      const text = found?.partitions[0]?.offset;
      if (text === undefined) throw new Error(`reading the bounds of ${topic}/${partition}: no answer`);
      return safeOffset(text);
    };
    const [start, end] = await Promise.all([offset(true), offset(false)]);
    return { start, end };
  }

  async read(at: TopicPartition, offset: number, maxWaitMs: number): Promise<ConsumedBatch> {
    const { topic } = at;
    const cluster = await this.#ready(topic);
    const data = await this.#fetch(cluster, at, offset, maxWaitMs);
    return new FetchedBatch(topic, String(offset), data).consumed();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#consumer.disconnect();
  }

  async #fetch(
    cluster: Cluster,
    at: TopicPartition,
    offset: number,
    maxWaitMs: number,
  ): Promise<FetchedPartition> {
    const { topic, partition } = at;
    try {
      const nodeId = Object.keys(cluster.findLeaderForPartitions(topic, [partition]))[0];
      if (nodeId === undefined) throw new Error(`reading ${topic}/${partition}: it has no leader now`);
      const broker = await cluster.findBroker({ nodeId });
      const { responses } = await broker.fetch({
        maxWaitTime: maxWaitMs,
        minBytes: 1,
        maxBytes: MAX_BYTES,
        isolationLevel: READ_COMMITTED,
        topics: [{ topic, partitions: [{ partition, fetchOffset: String(offset), maxBytes: MAX_BYTES }] }],
      });
      const data = responses[0]?.partitions[0];
      if (!data) throw new Error(`reading ${topic}/${partition}: the broker didn't answer for it`);
      return data;
    } catch (error) {
      const { host, port } = error as { host?: string; port?: number };
      if (host !== undefined && port !== undefined) cluster.removeBroker({ host, port });
      if (!this.#isClosed)
        await cluster.refreshMetadata().catch((cause: unknown) => {
          throw new AggregateError([error, cause], `reading ${topic}/${partition}`);
        });
      throw error;
    }
  }

  async #ready(topic: string): Promise<Cluster> {
    if (this.#isClosed) throw new Error('the reader is closed');
    if (!this.#isConnected) {
      await this.#consumer.connect();
      this.#isConnected = true;
    }
    if (!this.#cluster) throw new Error('kafkajs handed no cluster to its assigner');
    await this.#cluster.addTargetTopic(topic);
    await this.#cluster.refreshMetadataIfNecessary();
    return this.#cluster;
  }
}
