import type { FieldProblem } from '../sink.ts';

/** What a replication of this kind names. */
export interface KafkaTopicConfig {
  readonly topic: string;
  /** `host:port`, in lower case; null is the program's own cluster. */
  readonly brokers: readonly string[] | null;
}

/** What the operator allows. */
export interface KafkaTopicRules {
  /** The program's own topics, which no replication may write to, on whichever cluster. */
  readonly ownTopics: readonly string[];
  /** `host:port` of the brokers that replications may name. */
  readonly allowedBrokers: readonly string[];
}

export const KAFKA_TOPIC_FIELDS = ['topic', 'brokers'] as const;

const TOPIC = /^[A-Za-z0-9._-]{1,249}$/;

/** Validates the kind's own fields of a record; the first problem wins. */
export function parseKafkaTopicConfig(
  record: Readonly<Record<string, unknown>>,
  rules: KafkaTopicRules,
): { readonly config: KafkaTopicConfig } | { readonly problem: FieldProblem } {
  const topic = record['topic'] ?? null;
  if (topic === null) {
    const message = 'topic is missing; a KAFKA_TOPIC replication needs it';
    return { problem: { code: 'missing_field', field: 'topic', message } };
  }
  if (typeof topic !== 'string' || !TOPIC.test(topic) || topic === '.' || topic === '..') {
    return refused('topic', `topic must be a Kafka topic's name, ${TOPIC.source}`);
  }
  if (topic.startsWith('__'))
    return refused('topic', "topic must not be one of Kafka's own, which begin with __");
  if (rules.ownTopics.includes(topic)) {
    return refused('topic', "topic must not be one of this program's own; choose another one");
  }

  const brokers = record['brokers'] ?? null;
  if (brokers === null) {
    if ((record['credentials_uri'] ?? null) === null) return { config: { topic, brokers: null } };
    const message = 'credentials_uri needs brokers: the own cluster is reached with its own; leave it out';
    return { problem: { code: 'field_not_applicable', field: 'credentials_uri', message } };
  }
  if (
    !Array.isArray(brokers) ||
    brokers.length === 0 ||
    !brokers.every((broker) => typeof broker === 'string')
  ) {
    return refused('brokers', 'brokers must be a list like ["host:9092"], or absent for the own cluster');
  }
  const allowed = new Set(rules.allowedBrokers.map((broker) => broker.toLowerCase()));
  const named = brokers.map((broker) => broker.toLowerCase());
  if (!named.every((broker) => allowed.has(broker))) {
    return refused('brokers', 'brokers may only name those that the operator lists in SINKS_KAFKA_BROKERS');
  }
  return { config: { topic, brokers: [...new Set(named)] } };
}

function refused(field: 'topic' | 'brokers', message: string): { readonly problem: FieldProblem } {
  return { problem: { code: `invalid_${field}`, field, message } };
}
