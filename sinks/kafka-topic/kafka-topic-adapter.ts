import { SinkError, type SinkAdapter } from '../sink.ts';
import {
  KAFKA_TOPIC_FIELDS,
  parseKafkaTopicConfig,
  type KafkaTopicConfig,
  type KafkaTopicRules,
} from './config.ts';
import { parseKafkaCredentials } from './credentials.ts';
import type { KafkaCredentials, RecordProducers } from './record-producer.ts';
import { MAX_BYTES, MAX_RECORDS, RECORD_OVERHEAD_BYTES } from './records.ts';
import { KafkaTopicSink } from './sink.ts';

export interface KafkaTopicSettings extends KafkaTopicRules {
  readonly producers: RecordProducers;
}

/** A Kafka topic, of the program's own cluster or of another that the operator allows. The key is the ordering lane. */
export function kafkaTopicAdapter(settings: KafkaTopicSettings): SinkAdapter<KafkaTopicConfig> {
  return {
    type: 'KAFKA_TOPIC',
    versions: [1, 2],
    fields: KAFKA_TOPIC_FIELDS,
    options: { messageId: true, ordering: null, orderingLanes: true },
    credentials: 'optional',
    parseConfig: (record) => parseKafkaTopicConfig(record, settings),
    checkCredentials: (text, config) => {
      const parsed = parseKafkaCredentials(text, config);
      return 'problem' in parsed ? parsed.problem : null;
    },
    costs: () => ({
      limits: { maxRecords: MAX_RECORDS, maxBytes: MAX_BYTES, recordOverheadBytes: RECORD_OVERHEAD_BYTES },
      billing: null,
    }),
    open: async ({ config, options, credentials }) => {
      const producer = settings.producers(config.brokers, credentialsOf(credentials, config));
      return new KafkaTopicSink({ topic: config.topic, options, producer });
    },
  };
}

function credentialsOf(text: string | null, config: KafkaTopicConfig): KafkaCredentials | null {
  if (text === null) return null;
  const parsed = parseKafkaCredentials(text, config);
  if (!('problem' in parsed)) return parsed.credentials;
  const { code, message } = parsed.problem;
  throw new SinkError('fatal', 'credentials_invalid', `opening topic ${config.topic}: ${code}: ${message}`, {
    remedy: 'upload the credentials of a user of that cluster',
  });
}
