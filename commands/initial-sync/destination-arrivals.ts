import { ConfigError } from '../../config/config-error.ts';
import type { Settings } from '../../config/settings.ts';
import type { CredentialsTable } from '../../processors/credentials-table.ts';
import type { ReplicationConfig } from '../../processors/replication-config.ts';
import type { FileConfig } from '../../sinks/file/config.ts';
import { readablePath } from '../../sinks/file/directory-store.ts';
import type { KafkaTopicConfig } from '../../sinks/kafka-topic/config.ts';
import { parseKafkaCredentials } from '../../sinks/kafka-topic/credentials.ts';
import type { Arrivals } from '../../streams/initial-sync/arrivals.ts';
import { TopicArrivals } from '../../streams/initial-sync/topic-arrivals.ts';
import { kafkajsPort, type KafkaConnection } from '../../streams/kafka/kafkajs-port.ts';
import { foreignConnection } from '../../streams/kafka/sink-producers.ts';
import { kafkajsTopicAdmin } from '../../streams/kafka/topic-admin.ts';
import type { Logger } from '../../streams/logger.ts';
import { logRanges, type LogRange, type ScanPorts } from '../../streams/partition-scan.ts';
import { openCredentials } from '../processor.ts';
import { MissingTopicError } from '../required-topics.ts';
import { LineArrivals } from './line-arrivals.ts';

export interface ArrivalsContext {
  readonly config: ReplicationConfig;
  /** Empty: the destination itself is read. */
  readonly exportPaths: readonly string[];
  readonly settings: Settings;
  readonly logger: Logger;
  readonly credentials: CredentialsTable;
  readonly ports: Pick<ScanPorts, 'clock' | 'random'>;
  /** Closes what is opened here. */
  readonly stack: AsyncDisposableStack;
}

/** Where what arrived can be read. */
export interface ArrivalsSource {
  /** Of a topic, the whole of its partitions; else empty. */
  readonly ranges: readonly LogRange[];
  /** Reads these of the ranges. */
  readonly arrivals: (ranges: readonly LogRange[]) => Arrivals;
}

/**
 * Finds what a replication's destination got: the export, or the destination itself where this program can read it.
 * Rejects with a `ConfigError` for one that it can't.
 */
export async function openArrivals(context: ArrivalsContext, signal: AbortSignal): Promise<ArrivalsSource> {
  const { config, exportPaths } = context;
  if (exportPaths.length > 0) return ofLines(exportPaths);
  switch (config.type) {
    case 'FILE':
      return ofLines([await fileOf(context)]);
    case 'KAFKA_TOPIC':
      return await ofTopic(context, signal);
    default:
      throw new ConfigError([
        `--from: not given, and what ${config.type} got can't be read from here; allowed is an export of it, as JSON lines`,
      ]);
  }
}

function ofLines(paths: readonly string[]): ArrivalsSource {
  return { ranges: [], arrivals: () => new LineArrivals(paths) };
}

async function fileOf({ config, settings }: ArrivalsContext): Promise<string> {
  const { path } = config.destination as FileConfig;
  const { fileDirectory } = settings.sinks;
  if (fileDirectory === null)
    throw new ConfigError([
      'SINKS_FILE_DIRECTORY (default): not set, and the file lies in it; or give --from',
    ]);
  return await readablePath(fileDirectory, path);
}

async function ofTopic(context: ArrivalsContext, signal: AbortSignal): Promise<ArrivalsSource> {
  const { config, logger, ports, stack } = context;
  const { topic } = config.destination as KafkaTopicConfig;
  const connection = await connectionOf(context, signal);
  const admin = kafkajsTopicAdmin(connection, logger);
  stack.defer(() => admin.close());
  const reader = kafkajsPort(connection, logger).partitionReader();
  stack.defer(() => reader.close());
  const [found] = await admin.describeTopics([topic]);
  if (!found) throw new MissingTopicError(topic);
  const scan = { ...ports, reader };
  return {
    ranges: await logRanges(topic, found.partitions, scan, signal),
    arrivals: (ranges) => new TopicArrivals(ranges, scan),
  };
}

/** The program's own cluster, or the replication's with its credentials. */
async function connectionOf(
  { config, settings, credentials }: ArrivalsContext,
  signal: AbortSignal,
): Promise<KafkaConnection> {
  const destination = config.destination as KafkaTopicConfig;
  if (destination.brokers === null) return settings.kafka;
  if (config.credentialsUri === null) return foreignConnection(settings.kafka, destination.brokers, null);
  const { text } = await openCredentials(settings, credentials).resolve(
    { uri: config.credentialsUri, replicationId: config.id, datamartId: config.datamartId },
    signal,
  );
  const parsed = parseKafkaCredentials(text, destination);
  if ('problem' in parsed) throw new ConfigError([`credentials of ${config.id}: ${parsed.problem.message}`]);
  return foreignConnection(settings.kafka, destination.brokers, parsed.credentials);
}
