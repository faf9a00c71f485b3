import { createRequire } from 'node:module';
import type { BrokerAnswer, BrokerProbe } from '../inspection-port.ts';
import type { Logger } from '../logger.ts';
import type { BrokerVersions } from './broker-connection.ts';
import { kafkaClient, type KafkaConnection } from './kafkajs-port.ts';
import { PartitionAssigners } from './kafkajs.ts';

/** The requests that this program makes, by kafkajs' names. */
const NEEDED = [
  'Produce',
  'Fetch',
  'ListOffsets',
  'Metadata',
  'OffsetCommit',
  'OffsetFetch',
  'GroupCoordinator',
  'JoinGroup',
  'Heartbeat',
  'LeaveGroup',
  'SyncGroup',
  'DescribeGroups',
  'DescribeConfigs',
  'CreateTopics',
] as const;

interface ConnectedCluster {
  readonly brokerPool: { readonly versions: BrokerVersions | null };
}

interface RequestDefinitions {
  readonly requests: Readonly<
    Record<string, { readonly versions: readonly (string | number)[] } | undefined>
  >;
}

/** Asks brokers one by one through kafkajs, with the settings' TLS and SASL. */
export function kafkajsBrokerProbe(connection: KafkaConnection, logger: Logger): BrokerProbe {
  return async (address) => {
    const client = kafkaClient({ ...connection, brokers: [address] }, logger);
    const retry = { retries: 0 };
    let cluster: ConnectedCluster | null = null;
    const consumer = client.consumer({
      groupId: `${connection.groupId}.cli.probe`,
      allowAutoTopicCreation: false,
      retry,
      partitionAssigners: [
        (config) => {
          cluster = config.cluster as unknown as ConnectedCluster;
          return PartitionAssigners.roundRobin(config);
        },
      ],
    });
    const admin = client.admin({ retry });
    try {
      await consumer.connect();
      await admin.connect();
      const { brokers, clusterId } = await admin.describeCluster();
      const versions = versionsOf(cluster);
      return {
        clusterId: clusterId || null,
        advertised: brokers.map(({ host, port }) => `${host}:${port}`),
        ...judgeVersions(versions),
      };
    } finally {
      await Promise.allSettled([consumer.disconnect(), admin.disconnect()]);
    }
  };
}

function versionsOf(cluster: ConnectedCluster | null): BrokerVersions | null {
  return cluster?.brokerPool.versions ?? null;
}

/**
 * Which requests the broker takes in no version that kafkajs has: it chooses the newest that both know, but never looks
 * at the oldest that the broker still takes. Nothing is judged when the broker's versions aren't known.
 */
export function judgeVersions(
  versions: BrokerVersions | null,
): Pick<BrokerAnswer, 'unsupported' | 'newestFetchVersion'> {
  if (versions === null) return { unsupported: [], newestFetchVersion: null };
  const require = createRequire(import.meta.url);
  const { requests } = require('kafkajs/src/protocol/requests') as RequestDefinitions;
  const keys = require('kafkajs/src/protocol/requests/apiKeys') as Readonly<Record<string, number>>;
  const unsupported = NEEDED.filter((name) => {
    const broker = versions[String(keys[name])];
    const own = requests[name]?.versions.map(Number) ?? [];
    const newest = Math.min(Math.max(...own), broker?.maxVersion ?? -1);
    return !broker || newest < broker.minVersion || !own.includes(newest);
  });
  return { unsupported, newestFetchVersion: versions[String(keys.Fetch)]?.maxVersion ?? null };
}
