import { randomUUID } from 'node:crypto';
import type { KafkaPort } from '../kafka-port.ts';
import type { Logger } from '../logger.ts';
import { KafkajsGroupConsumer } from './group-consumer.ts';
import { Kafka, logLevel, type KafkaClient, type KafkaConfig } from './kafkajs.ts';
import { KafkajsPartitionReader } from './partition-reader.ts';
import { KafkajsPartitionWriter } from './partition-writer.ts';
import { KafkajsRecordProducer } from './record-producer.ts';

/** How the brokers are reached; the settings' Kafka slice has this shape. */
export interface KafkaConnection {
  readonly brokers: readonly string[];
  readonly groupId: string;
  readonly clientId: string;
  readonly tls: {
    readonly caPem: string | null;
    readonly certPem: string | null;
    readonly keyPem: string | null;
  } | null;
  readonly sasl: {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
    readonly username: string;
    readonly password: string;
  } | null;
}

const CONNECTION_TIMEOUT_MS = 5_000;
const AUTHENTICATION_TIMEOUT_MS = 10_000;
/** A frozen broker is noticed after this. */
const READ_TIMEOUT_MS = 15_000;
/** PROTOCOL A3: no produce may outlive an attempt's deadline. */
const WRITE_TIMEOUT_MS = 8_000;

/** What these say about a lost connection, the caller says better and less often. */
const CONNECTION_NAMESPACES = new Set(['Connection', 'BrokerPool']);

/** A kafkajs client whose log lines go to `logger`, at debug unless kafkajs calls them errors. */
export function kafkaClient(
  connection: KafkaConnection,
  logger: Logger,
  requestTimeoutMs = READ_TIMEOUT_MS,
): KafkaClient {
  const { tls, sasl } = connection;
  const config: KafkaConfig = {
    clientId: connection.clientId,
    brokers: [...connection.brokers],
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    authenticationTimeout: AUTHENTICATION_TIMEOUT_MS,
    requestTimeout: requestTimeoutMs,
    enforceRequestTimeout: true,
    retry: { retries: 5, initialRetryTime: 200, maxRetryTime: 5_000 },
    logLevel: logLevel.INFO,
    logCreator:
      () =>
      ({ namespace, level, log }) => {
        const { message } = log;
        const line = `kafkajs ${namespace}: ${message}`;
        if (level === logLevel.ERROR && !CONNECTION_NAMESPACES.has(namespace)) logger.warn({}, line);
        else logger.debug({}, line);
      },
    ...(tls
      ? {
          ssl: {
            ...(tls.caPem === null ? {} : { ca: tls.caPem }),
            ...(tls.certPem === null ? {} : { cert: tls.certPem }),
            ...(tls.keyPem === null ? {} : { key: tls.keyPem }),
          },
        }
      : {}),
    ...(sasl
      ? { sasl: { mechanism: sasl.mechanism as 'plain', username: sasl.username, password: sasl.password } }
      : {}),
  };
  return new Kafka(config);
}

/** `KafkaPort` over kafkajs. */
export function kafkajsPort(connection: KafkaConnection, logger: Logger): KafkaPort {
  const reading = kafkaClient(connection, logger);
  const writing = kafkaClient(connection, logger, WRITE_TIMEOUT_MS);
  const ownGroup = (): string => `${connection.groupId}.tables.${randomUUID()}`;
  return {
    groupConsumer: (groupId, topics) => new KafkajsGroupConsumer(reading, groupId, topics, logger),
    partitionReader: () => new KafkajsPartitionReader(reading, ownGroup()),
    producer: () => new KafkajsRecordProducer(writing),
    partitionWriter: () => new KafkajsPartitionWriter(writing, ownGroup(), WRITE_TIMEOUT_MS),
  };
}
