/**
 * The parts of kafkajs' internal `Cluster` and `Broker` that the port uses. They are reached through an assigner, which
 * kafkajs hands its consumer's cluster.
 */
export interface Cluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  addTargetTopic(topic: string): Promise<void>;
  refreshMetadata(): Promise<void>;
  refreshMetadataIfNecessary(): Promise<void>;
  findLeaderForPartitions(topic: string, partitions: readonly number[]): Record<string, readonly number[]>;
  findBroker(at: { nodeId: string }): Promise<Broker>;
  removeBroker(at: { host: string; port: number }): void;
  fetchTopicsOffset(
    topics: readonly {
      topic: string;
      partitions: readonly { partition: number }[];
      fromBeginning: boolean;
    }[],
  ): Promise<readonly { topic: string; partitions: readonly { partition: number; offset: string }[] }[]>;
}

export interface Broker {
  fetch(request: {
    maxWaitTime: number;
    minBytes: number;
    maxBytes: number;
    isolationLevel: number;
    topics: readonly {
      topic: string;
      partitions: readonly { partition: number; fetchOffset: string; maxBytes: number }[];
    }[];
  }): Promise<{
    responses: readonly { topicName: string; partitions: readonly FetchedPartition[] }[];
  }>;
}

export interface FetchedPartition {
  readonly partition: number;
  readonly highWatermark: string;
  readonly abortedTransactions?: readonly { producerId: string; firstOffset: string }[] | null;
  /** Record batches as `record-batch.ts` makes them, or kafkajs' messages where the format is older. */
  readonly messages: readonly object[];
}

export interface OffsetCommitTopic {
  readonly topic: string;
  readonly partitions: readonly { partition: number; offset: string; metadata: string }[];
}

/** An offset as the engine counts them. Throws beyond 2^53. */
export function safeOffset(decimal: string): number {
  const offset = Number(decimal);
  if (!Number.isSafeInteger(offset)) throw new RangeError(`offset ${decimal} is not a safe integer`);
  return offset;
}

/** Groups partitions under their topics, as Kafka's requests want them. */
export function byTopic<P extends { readonly topic: string }, R>(
  partitions: readonly P[],
  toRequest: (partition: P) => R,
): { topic: string; partitions: R[] }[] {
  const topics = new Map<string, R[]>();
  for (const partition of partitions) {
    const list = topics.get(partition.topic) ?? [];
    list.push(toRequest(partition));
    topics.set(partition.topic, list);
  }
  return [...topics].map(([topic, list]) => ({ topic, partitions: list }));
}
