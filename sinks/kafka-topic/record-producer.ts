/** One record as it is to be stored. Its bytes may be read only until `produce` has settled. */
export interface ProducedRecord {
  readonly key: Buffer | string;
  readonly value: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

export interface TopicDescription {
  readonly partitions: number;
  /** The topic's `max.message.bytes`; null when it may not be read. */
  readonly maxMessageBytes: number | null;
}

/** How a foreign cluster is reached; a replication's credentials, parsed. */
export interface KafkaCredentials {
  readonly ssl: boolean;
  readonly sasl: SaslCredentials | null;
}

export interface SaslCredentials {
  readonly mechanism: SaslMechanism;
  readonly username: string;
  readonly password: string;
}

export const SASL_MECHANISMS = ['plain', 'scram-sha-256', 'scram-sha-512'] as const;

export type SaslMechanism = (typeof SASL_MECHANISMS)[number];

/**
 * The port to one Kafka cluster that records are produced to; implemented where the Kafka client lives.
 *
 * Connects with the first use, retries nothing, creates no topic. It rejects with the client's own errors, which
 * `classifyError` reads.
 */
export interface RecordProducer {
  /**
   * Stores the records: partition by the key's murmur2 hash as Kafka's own clients do, in the given order within a
   * partition, acknowledged by all in-sync replicas. After a rejection any part of them may be stored.
   */
  produce(topic: string, records: readonly ProducedRecord[], signal: AbortSignal): Promise<void>;
  /** What the topic is like; null when there is no such topic. */
  describeTopic(topic: string, signal: AbortSignal): Promise<TopicDescription | null>;
  /** Idempotent. */
  close(): Promise<void>;
}

/** Makes the producer of one replication; without brokers, of the program's own cluster. Opens no connection yet. */
export type RecordProducers = (
  brokers: readonly string[] | null,
  credentials: KafkaCredentials | null,
) => RecordProducer;
