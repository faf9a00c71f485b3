/** A topic as the cluster has it. */
export interface ExistingTopic {
  readonly name: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  /** The settings in force, the cluster's defaults included; null for one that the cluster doesn't tell. */
  readonly settings: Readonly<Record<string, string | null>>;
}

/** A topic to be made. */
export interface NewTopic {
  readonly name: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly settings: Readonly<Record<string, string>>;
}

export interface ClusterDescription {
  /** Absent where the cluster doesn't tell. */
  readonly id?: string;
  readonly brokerCount: number;
  /** What a topic takes that doesn't set `max.message.bytes` itself. */
  readonly defaultMaxMessageBytes: number;
}

/** What planning and checking topics needs of Kafka; `streams/kafka/topic-admin.ts` keeps it with kafkajs. */
export interface TopicAdmin {
  describeCluster(): Promise<ClusterDescription>;
  /** Those of `names` that exist. */
  describeTopics(names: readonly string[]): Promise<readonly ExistingTopic[]>;
  /**
   * Makes the topics, and resolves when every one of them is known to the cluster. A topic that somebody else made in
   * the meantime is no failure.
   */
  createTopics(topics: readonly NewTopic[]): Promise<void>;
  /** Idempotent. */
  close(): Promise<void>;
}
