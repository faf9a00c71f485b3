import { createRequire } from 'node:module';
import type { Cluster } from '../../../../streams/kafka/cluster.ts';
import { logLevel, type KafkaClient } from '../../../../streams/kafka/kafkajs.ts';

const requireKafkajs = createRequire(import.meta.url);
const createConsumer = requireKafkajs('kafkajs/src/consumer') as (options: object) => object;
const { createLogger } = requireKafkajs('kafkajs/src/loggers') as {
  createLogger: (options: object) => object;
};
const { MemberAssignment } = requireKafkajs('kafkajs/src/consumer/assignerProtocol') as {
  MemberAssignment: { encode: (assignment: object) => Buffer };
};

/** An error as kafkajs makes it of an answer of the broker. */
export function protocolError(type: string, retriable = false): Error {
  return Object.assign(new Error(type), { name: 'KafkaJSProtocolError', type, retriable });
}

/**
 * kafkajs' own consumer over a cluster of one broker that a test answers for. It is the only member of its group, and
 * owns partition 0 of the topic `t`.
 */
export class ScriptedCluster {
  /** What kafkajs asked the coordinator and the broker, in order. */
  readonly asked: string[] = [];
  /** Answers a fetch; with nothing by default, after a moment. */
  fetch: () => Promise<object> = async () => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    return { responses: [] };
  };
  heartbeat: () => Promise<void> = () => Promise.resolve();
  sync: () => Promise<void> = () => Promise.resolve();
  hasBrokers = true;
  #generationId = 0;

  /** What `KafkajsGroupConsumer` is made with. */
  get client(): KafkaClient {
    const logger = createLogger({ level: logLevel.NOTHING, logCreator: () => () => undefined });
    const consumer = (options: object): object =>
      createConsumer({ ...options, logger, cluster: this.#cluster });
    return { consumer } as unknown as KafkaClient;
  }

  /** What kafkajs works with. */
  get cluster(): Cluster {
    return this.#cluster as unknown as Cluster;
  }

  get #coordinator(): object {
    const done = (name: string): Promise<void> => {
      this.asked.push(name);
      return Promise.resolve();
    };
    return {
      isConnected: () => true,
      joinGroup: async () => {
        await done('join');
        this.#generationId += 1;
        const memberId = 'member';
        return { generationId: this.#generationId, leaderId: 'another', memberId, members: [] };
      },
      syncGroup: async () => {
        await done('sync');
        await this.sync();
        return { memberAssignment: MemberAssignment.encode({ version: 1, assignment: { t: [0] } }) };
      },
      heartbeat: async () => {
        await done('heartbeat');
        await this.heartbeat();
      },
      leaveGroup: () => done('leave'),
      offsetFetch: () =>
        Promise.resolve({ responses: [{ topic: 't', partitions: [{ partition: 0, offset: '0' }] }] }),
    };
  }

  readonly #cluster = {
    connect: () => Promise.resolve(),
    disconnect: () => Promise.resolve(),
    addMultipleTargetTopics: () => Promise.resolve(),
    refreshMetadata: () => Promise.resolve(),
    refreshMetadataIfNecessary: () => Promise.resolve(),
    removeBroker: () => undefined,
    getNodeIds: () => (this.hasBrokers ? ['1'] : []),
    findTopicPartitionMetadata: () => [{ partitionId: 0, leader: '1' }],
    findGroupCoordinator: () => Promise.resolve(this.#coordinator),
    findBroker: () => Promise.resolve({ fetch: () => this.fetch() }),
    committedOffsets: () => ({}),
  };
}
