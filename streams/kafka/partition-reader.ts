import {
  READ_MIB,
  type ConsumedBatch,
  type NeededOfRecords,
  type PartitionReader,
  type TopicPartition,
} from '../kafka-port.ts';
import { ClusterConnection, leaderOf } from './cluster-connection.ts';
import { safeOffset, type Cluster, type FetchedPartition } from './cluster.ts';
import { FetchedBatch } from './fetched-batch.ts';
import { assertFetchingIsPatched } from './kafkajs-patches.ts';
import type { KafkaClient } from './kafkajs.ts';
import { responseBuffers } from './response-buffers.ts';

const MIB = 1024 * 1024;
/** Only committed records, as the group's consumer reads them. */
const READ_COMMITTED = 1;

/**
 * `PartitionReader` over kafkajs' own cluster and fetch request: no group, no heartbeat, no commit, and the position is
 * the caller's.
 */
export class KafkajsPartitionReader implements PartitionReader {
  readonly #connection: ClusterConnection;

  constructor(kafka: KafkaClient, groupId: string) {
    assertFetchingIsPatched();
    this.#connection = new ClusterConnection(kafka, groupId);
  }

  async bounds({ topic, partition }: TopicPartition): Promise<{ start: number; end: number }> {
    const cluster = await this.#connection.ready(topic);
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

  async read(
    at: TopicPartition,
    offset: number,
    maxWaitMs: number,
    needed: NeededOfRecords = 'all',
  ): Promise<ConsumedBatch> {
    const { topic } = at;
    const cluster = await this.#connection.ready(topic);
    const data = await this.#fetch(cluster, at, offset, { maxWaitMs, maxBytes: READ_MIB[needed] * MIB });
    const batch = new FetchedBatch(topic, String(offset), data, needed);
    let { buffer } = batch;
    const release = (): void => {
      if (buffer) responseBuffers.giveBack(buffer);
      // Somebody else may have it from now on.
      buffer = null;
    };
    return { ...batch.consumed(), release };
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  async #fetch(
    cluster: Cluster,
    { topic, partition }: TopicPartition,
    offset: number,
    { maxWaitMs, maxBytes }: { readonly maxWaitMs: number; readonly maxBytes: number },
  ): Promise<FetchedPartition> {
    try {
      const broker = await cluster.findBroker({ nodeId: leaderOf(cluster, topic, partition) });
      const { responses } = await broker.fetch({
        maxWaitTime: maxWaitMs,
        minBytes: 1,
        maxBytes,
        isolationLevel: READ_COMMITTED,
        topics: [{ topic, partitions: [{ partition, fetchOffset: String(offset), maxBytes }] }],
      });
      const data = responses[0]?.partitions[0];
      if (!data) throw new Error(`reading ${topic}/${partition}: the broker didn't answer for it`);
      return data;
    } catch (error) {
      await this.#connection.recover(error).catch((cause: unknown) => {
        throw new AggregateError([error, cause], `reading ${topic}/${partition}`);
      });
      throw error;
    }
  }
}
