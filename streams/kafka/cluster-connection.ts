import type { Cluster } from './cluster.ts';
import { PartitionAssigners, type Consumer, type KafkaClient } from './kafkajs.ts';

/**
 * kafkajs' own cluster, for requests that its consumers and producers don't make. kafkajs hands it to the assigners of a
 * consumer, which is never run: no group is joined, it only carries the cluster.
 */
export class ClusterConnection {
  readonly #consumer: Consumer;
  #cluster: Cluster | null = null;
  #isConnected = false;
  #isClosed = false;

  /** `groupId` names the consumer in kafkajs' log lines only. */
  constructor(kafka: KafkaClient, groupId: string) {
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

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The connected cluster, with metadata of the topic that isn't too old. Rejects once it is closed. */
  async ready(topic: string): Promise<Cluster> {
    if (this.#isClosed) throw new Error('the connection is closed');
    if (!this.#isConnected) {
      await this.#consumer.connect();
      this.#isConnected = true;
    }
    if (!this.#cluster) throw new Error('kafkajs handed no cluster to its assigner');
    await this.#cluster.addTargetTopic(topic);
    await this.#cluster.refreshMetadataIfNecessary();
    return this.#cluster;
  }

  /** Has the cluster asked for its leaders anew, without the broker that `error` names, if it names one. */
  async recover(error: unknown): Promise<void> {
    if (this.#isClosed || !this.#cluster) return;
    const { host, port } = error as { readonly host?: string; readonly port?: number };
    if (host !== undefined && port !== undefined) this.#cluster.removeBroker({ host, port });
    await this.#cluster.refreshMetadata();
  }

  /** Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#consumer.disconnect();
  }
}

/** The node that leads the partition. Throws when it has no leader now. */
export function leaderOf(cluster: Cluster, topic: string, partition: number): string {
  const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]));
  if (nodeId === undefined || nodeId === '-1') throw new Error(`${topic}/${partition} has no leader now`);
  return nodeId;
}
