import type { TopicPartition } from './kafka-port.ts';
import type { GroupCommit } from './topics/adopt-partitions.ts';

/** A member of a consumer group, as the coordinator knows it. */
export interface GroupMember {
  readonly memberId: string;
  readonly clientId: string;
  readonly host: string;
  /** The topics that it subscribes to; null when its metadata isn't that of a consumer. */
  readonly topics: readonly string[] | null;
  readonly partitions: readonly TopicPartition[];
}

/** A consumer group, as the coordinator knows it. */
export interface GroupDescription {
  /** `Stable`, `PreparingRebalance`, `CompletingRebalance`, `Empty`, `Dead`. */
  readonly state: string;
  readonly protocolType: string;
  /** The assignor that its members agreed on; empty without members. */
  readonly protocol: string;
  readonly members: readonly GroupMember[];
}

/** Looks at the cluster, and changes nothing. `streams/kafka/inspection-admin.ts` keeps it with kafkajs. */
export interface InspectionAdmin {
  /** How many partitions those of the topics have that exist. */
  partitionCounts(topics: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** What the group has committed in the topic, by partition; partitions without a commit aren't in it. */
  committedOffsets(groupId: string, topic: string): Promise<ReadonlyMap<number, GroupCommit>>;
  /** By partition, the first offset whose record is of this time (ms since 1970 UTC) or later, or the log's end. */
  offsetsAt(topic: string, timestamp: number): Promise<ReadonlyMap<number, number>>;
  describeGroup(groupId: string): Promise<GroupDescription>;
  /** Idempotent. */
  close(): Promise<void>;
}

/** What one broker answered that was asked by its address. */
export interface BrokerAnswer {
  readonly clusterId: string | null;
  /** `host:port` of every broker of the cluster, as they tell clients to reach them. */
  readonly advertised: readonly string[];
  /** Requests of this program that the broker takes in no version that it can send, by name. */
  readonly unsupported: readonly string[];
  /** The newest version of its Fetch request: Kafka doesn't tell its release. */
  readonly newestFetchVersion: number | null;
}

/** Asks one broker, by its address. Rejects with the reason when it can't be reached for some seconds. */
export type BrokerProbe = (address: string) => Promise<BrokerAnswer>;

/** What the principal of these settings may do with a topic. */
export interface TopicRights {
  readonly mayRead: boolean;
  readonly mayWrite: boolean;
}

/**
 * Asks what the principal may do with topics, without doing it. Topics that aren't there, or that it may not see, aren't
 * in the answer; null when the broker doesn't tell. Rejects with the reason when it can't be asked.
 */
export type TopicRightsProbe = (
  topics: readonly string[],
) => Promise<ReadonlyMap<string, TopicRights> | null>;
