import type {
  KafkaCredentials,
  RecordProducer,
  RecordProducers,
  TopicDescription,
} from '../../sinks/kafka-topic/record-producer.ts';
import type { Logger } from '../logger.ts';
import { kafkaClient, type KafkaConnection } from './kafkajs-port.ts';
import { ConfigResourceTypes, Partitioners, type Admin, type KafkaClient, type Producer } from './kafkajs.ts';

/** PROTOCOL A3: no produce may outlive an attempt's deadline. */
const REQUEST_TIMEOUT_MS = 8_000;

/** Makes the producers of KAFKA_TOPIC replications: on the program's own cluster, or on one with its own credentials. */
export function sinkProducers(own: KafkaConnection, logger: Logger): RecordProducers {
  return (brokers, credentials) => {
    const connection = brokers === null ? own : foreignConnection(own, brokers, credentials);
    return new KafkajsSinkProducer(kafkaClient(connection, logger, REQUEST_TIMEOUT_MS));
  };
}

/** How another cluster than the program's own is reached, with a replication's credentials. */
export function foreignConnection(
  own: KafkaConnection,
  brokers: readonly string[],
  credentials: KafkaCredentials | null,
): KafkaConnection {
  return {
    brokers,
    groupId: own.groupId,
    clientId: own.clientId,
    tls: credentials?.ssl ? { caPem: null, certPem: null, keyPem: null } : null,
    sasl: credentials?.sasl ?? null,
  };
}

/** Reading a topic's settings takes DESCRIBE_CONFIGS, which publishing doesn't. */
async function maxMessageBytes(admin: Admin, topic: string): Promise<number | null> {
  const name = 'max.message.bytes';
  try {
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: [name] }],
    });
    const entry = resources[0]?.configEntries.find(({ configName }) => configName === name);
    return entry ? Number(entry.configValue) : null;
  } catch (error) {
    const { type } = error as { type?: string };
    if (type === 'TOPIC_AUTHORIZATION_FAILED' || type === 'CLUSTER_AUTHORIZATION_FAILED') return null;
    throw error;
  }
}

class KafkajsSinkProducer implements RecordProducer {
  readonly #kafka: KafkaClient;
  #connecting: Promise<Producer> | null = null;

  constructor(kafka: KafkaClient) {
    this.#kafka = kafka;
  }

  async produce(
    topic: string,
    records: Parameters<RecordProducer['produce']>[1],
    signal: AbortSignal,
  ): Promise<void> {
    await this.#abortable(
      (async () => {
        const producer = await this.#connected();
        await producer.send({
          topic,
          acks: -1,
          messages: records.map(({ key, value, headers }) => ({ key, value, headers })),
        });
      })(),
      signal,
    );
  }

  async describeTopic(topic: string, signal: AbortSignal): Promise<TopicDescription | null> {
    const admin = this.#kafka.admin();
    try {
      await this.#abortable(admin.connect(), signal);
      const { topics } = await this.#abortable(admin.fetchTopicMetadata({ topics: [topic] }), signal);
      const partitions = topics[0]?.partitions.length;
      if (partitions === undefined) return null;
      return { partitions, maxMessageBytes: await this.#abortable(maxMessageBytes(admin, topic), signal) };
    } catch (error) {
      if ((error as { type?: string }).type === 'UNKNOWN_TOPIC_OR_PARTITION') return null;
      throw error;
    } finally {
      await admin.disconnect();
    }
  }

  async close(): Promise<void> {
    const connecting = this.#connecting;
    this.#connecting = null;
    if (!connecting) return;
    const producer = await connecting.catch(() => null);
    await producer?.disconnect();
  }

  #connected(): Promise<Producer> {
    this.#connecting ??= (async () => {
      const producer = this.#kafka.producer({
        allowAutoTopicCreation: false,
        createPartitioner: Partitioners.DefaultPartitioner,
        retry: { retries: 0 },
      });
      await producer.connect();
      return producer;
    })().catch((error: unknown) => {
      this.#connecting = null;
      throw error;
    });
    return this.#connecting;
  }

  /** kafkajs can't cancel: an abort drops the connection, so that nothing outlives the attempt. */
  async #abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
    const aborted = Promise.withResolvers<never>();
    const onAbort = (): void => {
      void this.close().catch(() => undefined);
      aborted.reject(signal.reason as Error);
    };
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.catch(() => undefined);
    try {
      return await Promise.race([work, aborted.promise]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }
}
