import { kafkaTopicAdapter } from '../../sinks/kafka-topic/kafka-topic-adapter.ts';
import type { MessageOptions, Sink } from '../../sinks/sink.ts';
import { RecordProducerInMemory } from '../support/record-producer-in-memory.ts';
import {
  describeSinkContract,
  type ContractFault,
  type ReceivedRecord,
  type SinkHarness,
} from './sink-contract.ts';

class KafkaTopicHarness implements SinkHarness {
  readonly #cluster = new RecordProducerInMemory({ users: 8 });

  async open(options: MessageOptions): Promise<Sink> {
    const adapter = kafkaTopicAdapter({ producers: () => this.#cluster, ownTopics: [], allowedBrokers: [] });
    return adapter.open({ config: { topic: 'users', brokers: null }, options, credentials: null });
  }

  async received(): Promise<readonly ReceivedRecord[]> {
    return this.#cluster.stored.map(({ key, value, headers }) => ({
      data: value,
      docType: headers['doc_type'] ?? null,
      messageId: headers['message_id'] ?? null,
      key: key.toString(),
    }));
  }

  async fault(kind: ContractFault): Promise<void> {
    switch (kind) {
      case 'unavailable':
        return this.#cluster.rejectNext({ type: 'NOT_LEADER_FOR_PARTITION' });
      case 'throttled':
        return this.#cluster.rejectNext({ type: 'THROTTLING_QUOTA_EXCEEDED' });
      case 'unauthenticated':
        return this.#cluster.rejectNext({ name: 'KafkaJSSASLAuthenticationError' });
      case 'permission_denied':
        return this.#cluster.rejectNext({ type: 'TOPIC_AUTHORIZATION_FAILED' });
      case 'not_found':
        return this.#cluster.rejectNext({ type: 'UNKNOWN_TOPIC_OR_PARTITION' });
      case 'refused_records':
        return this.#cluster.rejectNext({ type: 'INVALID_RECORD' });
      case 'lost_answer':
        return this.#cluster.loseNextAnswer({ name: 'KafkaJSConnectionClosedError' });
      case 'hang':
        return this.#cluster.hangNext();
    }
  }

  async stop(): Promise<void> {
    await this.#cluster.close();
  }
}

for (const version of [1, 2] as const) {
  describeSinkContract(
    `KAFKA_TOPIC, version ${version},`,
    {
      version,
      docType: true,
      messageId: true,
      ordering: true,
      isAlwaysKeyed: true,
      refusesOversize: true,
      faults: [
        'unavailable',
        'throttled',
        'unauthenticated',
        'permission_denied',
        'not_found',
        'refused_records',
        'lost_answer',
        'hang',
      ],
      checkFaults: ['unavailable', 'unauthenticated', 'permission_denied', 'not_found', 'hang'],
    },
    async () => new KafkaTopicHarness(),
  );
}
