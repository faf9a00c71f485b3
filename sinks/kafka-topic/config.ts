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
  const topic = record['topic'];
  if (typeof topic !== 'string' || !TOPIC.test(topic) || topic === '.' || topic === '..') {
    return refused('topic', `topic must be a Kafka topic's name, ${TOPIC.source}`);
  }
  if (topic.startsWith('__')) return refused('topic', "topic must not be one of Kafka's own");
  if (rules.ownTopics.includes(topic)) return refused('topic', "topic must not be one of this program's own");

  const brokers = record['brokers'] ?? null;
  if (brokers === null) return { config: { topic, brokers: null } };
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
