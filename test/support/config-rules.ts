import type { ConfigRules } from '../../processors/replication-config.ts';
import { azureEventHubsAdapter } from '../../sinks/azure-event-hubs/azure-event-hubs-adapter.ts';
import { credentialsUriProblem } from '../../sinks/credentials.ts';
import { fileAdapter } from '../../sinks/file/file-adapter.ts';
import { googlePubSubAdapter } from '../../sinks/google-pubsub/google-pubsub-adapter.ts';
import { kafkaTopicAdapter } from '../../sinks/kafka-topic/kafka-topic-adapter.ts';
import type { SinkAdapter } from '../../sinks/sink.ts';
import { RecordProducerInMemory } from './record-producer-in-memory.ts';

/** What the settings say in the tables of cases: `SINKS_KAFKA_BROKERS` and a topic of the program's own. */
export const ALLOWED_BROKERS = ['kafka.acme.example:9092', 'kafka2.acme.example:9092'] as const;
export const OWN_TOPIC = 'datamart-mutations';

/** The four kinds of destinations that are part of this program; nothing is opened. */
export const BUILT_IN_ADAPTERS = [
  googlePubSubAdapter({ allowEmulators: false, emulatorHost: null }),
  azureEventHubsAdapter({ allowEmulators: false }),
  kafkaTopicAdapter({
    producers: () => new RecordProducerInMemory({}),
    ownTopics: [OWN_TOPIC],
    allowedBrokers: ALLOWED_BROKERS,
  }),
  fileAdapter({ directory: '/var/lib/datamart-replication' }),
] as readonly SinkAdapter<unknown>[];

/** The rules for these kinds and what the given ones add. */
export function configRules(...further: readonly SinkAdapter<unknown>[]): ConfigRules {
  const adapters = [...BUILT_IN_ADAPTERS, ...further];
  return {
    types: new Map(adapters.map((adapter) => [adapter.type, adapter])),
    checkCredentialsUri: credentialsUriProblem,
  };
}
