import { createRequire } from 'node:module';
import type { TopicRights, TopicRightsProbe } from '../inspection-port.ts';
import type { Logger } from '../logger.ts';
import { kafkaClient, type KafkaConnection } from './kafkajs-port.ts';
import { PartitionAssigners } from './kafkajs.ts';

/** Of the Metadata request: the first version that tells what the client may do (KIP-430). kafkajs has six. */
const VERSION = 8;
const METADATA = 3;
/** `AclOperation`: bits of the answer. */
const READ = 1 << 3;
const WRITE = 1 << 4;

interface Encoder {
  writeArray(values: readonly string[]): Encoder;
  writeBoolean(value: boolean): Encoder;
}

interface Decoder {
  readInt16(): number;
  readInt32(): number;
  readString(): string | null;
  readBoolean(): boolean;
  readArray<Item>(read: (decoder: Decoder) => Item): Item[];
}

interface ConnectedCluster {
  readonly brokerPool: {
    readonly seedBroker: { readonly connectionPool: { send(exchange: object): Promise<unknown> } };
    readonly versions: Readonly<Record<string, { readonly minVersion: number; readonly maxVersion: number }>>;
  };
}

const require = createRequire(import.meta.url);
const EncoderOfKafkajs = require('kafkajs/src/protocol/encoder') as new () => Encoder;
const DecoderOfKafkajs = require('kafkajs/src/protocol/decoder') as new (bytes: Buffer) => Decoder;

/** Asks a broker over a connection of kafkajs, with a request that kafkajs doesn't have. */
export function kafkajsTopicRights(connection: KafkaConnection, logger: Logger): TopicRightsProbe {
  return async (topics) => {
    let cluster: ConnectedCluster | null = null;
    const consumer = kafkaClient(connection, logger).consumer({
      groupId: `${connection.groupId}.cli.probe`,
      allowAutoTopicCreation: false,
      retry: { retries: 0 },
      partitionAssigners: [
        (config) => {
          cluster = config.cluster as unknown as ConnectedCluster;
          return PartitionAssigners.roundRobin(config);
        },
      ],
    });
    try {
      await consumer.connect();
      return await askRights(cluster, topics);
    } finally {
      await consumer.disconnect();
    }
  };
}

async function askRights(
  cluster: ConnectedCluster | null,
  topics: readonly string[],
): Promise<ReadonlyMap<string, TopicRights> | null> {
  const versions = cluster?.brokerPool.versions[METADATA];
  if (!cluster || !versions || versions.minVersion > VERSION || versions.maxVersion < VERSION) return null;
  const answer = await cluster.brokerPool.seedBroker.connectionPool.send({
    request: {
      apiKey: METADATA,
      apiVersion: VERSION,
      apiName: 'Metadata',
      encode: () => Promise.resolve(rightsRequest(topics)),
    },
    response: {
      decode: (bytes: Buffer) => Promise.resolve(rightsIn(bytes)),
      parse: (rights: unknown) => Promise.resolve(rights),
    },
  });
  return answer as ReadonlyMap<string, TopicRights>;
}

/** The body of the request, which makes no topic. */
export function rightsRequest(topics: readonly string[]): object {
  const [makesTopics, ofCluster, ofTopics] = [false, false, true];
  return new EncoderOfKafkajs()
    .writeArray(topics)
    .writeBoolean(makesTopics)
    .writeBoolean(ofCluster)
    .writeBoolean(ofTopics);
}

/** What the answer says of the topics that are there and may be seen. */
export function rightsIn(bytes: Buffer): ReadonlyMap<string, TopicRights> {
  const decoder = new DecoderOfKafkajs(bytes);
  // The throttle time, the brokers, the cluster's id and controller.
  decoder.readInt32();
  decoder.readArray(skipBroker);
  decoder.readString();
  decoder.readInt32();
  return new Map(decoder.readArray(topicRights).flatMap((topic) => (topic ? [topic] : [])));
}

function skipBroker(decoder: Decoder): void {
  decoder.readInt32();
  decoder.readString();
  decoder.readInt32();
  decoder.readString();
}

function topicRights(decoder: Decoder): readonly [topic: string, rights: TopicRights] | null {
  const errorCode = decoder.readInt16();
  const topic = decoder.readString() ?? '';
  decoder.readBoolean();
  decoder.readArray(skipPartition);
  const operations = decoder.readInt32();
  if (errorCode !== 0) return null;
  return [topic, { mayRead: (operations & READ) !== 0, mayWrite: (operations & WRITE) !== 0 }];
}

function skipPartition(decoder: Decoder): void {
  decoder.readInt16();
  // The partition, its leader and the leader's epoch.
  for (let i = 0; i < 3; i += 1) decoder.readInt32();
  // Replicas, those in sync, those that are away.
  for (let i = 0; i < 3; i += 1) decoder.readArray((each) => each.readInt32());
}
