import { createHash } from 'node:crypto';
import { ConfigError } from '../config/config-error.ts';
import type { Settings } from '../config/settings.ts';
import { CredentialsTable } from '../processors/credentials-table.ts';
import { Topology } from '../processors/topology.ts';
import { AvroOperationEncoder } from '../schemas/operation-encoder-avro.ts';
import { JsonOperationEncoder } from '../schemas/operation-encoder-json.ts';
import { RecordDecoder } from '../schemas/record-decoder.ts';
import { systemClock } from '../streams/clock.ts';
import { Destinations } from '../streams/destinations.ts';
import { kafkajsPort } from '../streams/kafka/kafkajs-port.ts';
import { kafkajsTopicAdmin } from '../streams/kafka/topic-admin.ts';
import type { Logger } from '../streams/logger.ts';
import { EngineMetrics } from '../streams/metrics.ts';
import { DeadLetterLog } from '../streams/redrive/dead-letter-log.ts';
import { RedriveLedger } from '../streams/redrive/redrive-ledger.ts';
import { Redrive } from '../streams/redrive/redrive.ts';
import { KafkaSnapshotView } from '../streams/redrive/snapshot-view.ts';
import type { ExistingTopic } from '../streams/topics/topic-admin-port.ts';
import { openControlTables } from './control-tables.ts';
import {
  runDeadLettersList,
  type DeadLettersListOptions,
  type DeadLettersListPorts,
} from './dead-letters-list.ts';
import {
  runDeadLettersRedrive,
  type DeadLettersRedriveOptions,
  type DeadLettersRedrivePorts,
} from './dead-letters-redrive.ts';
import { openCredentials, openSchemas, openSinks, openTable } from './processor.ts';
import { defaultLedgerPath, LedgerFile } from './redrive-ledger-file.ts';

export interface DeadLettersContext {
  readonly settings: Settings;
  readonly logger: Logger;
  readonly env: Readonly<Record<string, string | undefined>>;
}

type Environment<Ports, Made extends keyof Ports> = Omit<Ports, Made>;

/** `dead-letters list` on the settings' Kafka. */
export async function listDeadLetters(
  options: DeadLettersListOptions,
  { settings, logger }: DeadLettersContext,
  environment: Environment<DeadLettersListPorts, 'log'>,
  signal: AbortSignal,
): Promise<number> {
  const { topics } = await describe(settings, logger);
  await using stack = new AsyncDisposableStack();
  const reader = kafkajsPort(settings.kafka, logger).partitionReader();
  stack.defer(() => reader.close());
  const log = openLog(settings, topics, reader);
  return await runDeadLettersList(options, { ...environment, log }, signal);
}

/** `dead-letters redrive` on the settings' Kafka, with the destinations of its replications. */
export async function redriveDeadLetters(
  options: DeadLettersRedriveOptions & { readonly progressFile: string | null },
  { settings, logger, env }: DeadLettersContext,
  environment: Environment<DeadLettersRedrivePorts, 'log' | 'ledger' | 'makeRedrive' | 'ledgerPath'>,
  signal: AbortSignal,
): Promise<number> {
  const { id, topics } = await describe(settings, logger);
  for (const topic of controlTopics(settings)) if (!topics.has(topic)) throw missing(topic);
  const ledgerPath = options.progressFile ?? defaultLedgerPath(env, hashOf(id, settings.topics.deadLetters));
  if (ledgerPath === null)
    throw new ConfigError(['--progress-file: not given, and neither XDG_STATE_HOME nor HOME is set']);

  await using stack = new AsyncDisposableStack();
  const port = kafkajsPort(settings.kafka, logger);
  const [reader, snapshotReader] = [port.partitionReader(), port.partitionReader()];
  for (const each of [reader, snapshotReader]) stack.defer(() => each.close());
  const sinks = await openSinks(settings, logger, { pubsubEmulatorHost: env.PUBSUB_EMULATOR_HOST || null });
  const table = openTable(sinks, settings);
  const credentials = new CredentialsTable();
  const schemas = openSchemas(settings);
  stack.defer(() => schemas.close());
  const shared = { clock: systemClock, random: Math.random, logger };
  const destinations = new Destinations(sinks, {
    ...shared,
    metrics: new EngineMetrics(),
    // An operator who redrives wants an attempt now, and a refusal ends the replication's part at once.
    isActivated: () => true,
    onFault: () => undefined,
    credentials: openCredentials(settings, credentials),
  });
  stack.defer(() => destinations.close());
  stack.use(
    await openControlTables(
      {
        settings,
        logger,
        replications: table,
        credentials,
        listener: {
          onConfig: (change) => {
            if (change.kind !== 'changed') return;
            destinations.apply(change.previous, change.next).catch((error: unknown) => {
              logger.warn({ error }, 'a changed destination couldn’t be closed');
            });
          },
        },
      },
      signal,
    ),
  );
  const file = stack.use(await LedgerFile.open(ledgerPath));
  const ledger = await RedriveLedger.open(file);
  const log = openLog(settings, topics, reader);
  return await runDeadLettersRedrive(
    options,
    {
      ...environment,
      log,
      ledger,
      ledgerPath,
      makeRedrive: (hooks) =>
        new Redrive({
          ...hooks,
          ...shared,
          log,
          ledger,
          table,
          schemas,
          destinations,
          topology: new Topology(new RecordDecoder(schemas), table),
          encoders: { 1: new JsonOperationEncoder(), 2: new AvroOperationEncoder() },
          snapshot: options.isForced
            ? null
            : new KafkaSnapshotView({
                ...shared,
                signal,
                reader: snapshotReader,
                topics: snapshotsOf(settings, topics),
              }),
          partitionCount: (topic) => topics.get(topic)?.partitions ?? 0,
          isDryRun: options.isDryRun,
        }),
    },
    signal,
  );
}

/** The topics that say which replications there are. */
function controlTopics({ topics }: Settings): readonly string[] {
  return [topics.replicationConfig, topics.replicationCredentials, topics.replicationStatus];
}

/** The cluster's id, and those of this program's topics that exist. */
async function describe(
  settings: Settings,
  logger: Logger,
): Promise<{ readonly id: string; readonly topics: ReadonlyMap<string, ExistingTopic> }> {
  const admin = kafkajsTopicAdmin(settings.kafka, logger);
  try {
    const { id = '' } = await admin.describeCluster();
    const { deadLetters, mutations, snapshots } = settings.topics;
    const names = [deadLetters, ...controlTopics(settings), ...mutations, ...snapshots];
    const found = await admin.describeTopics(names);
    return { id, topics: new Map(found.map((topic) => [topic.name, topic])) };
  } finally {
    await admin.close();
  }
}

function openLog(
  { topics: { deadLetters } }: Settings,
  topics: ReadonlyMap<string, ExistingTopic>,
  reader: ConstructorParameters<typeof DeadLetterLog>[0]['reader'],
): DeadLetterLog {
  const topic = topics.get(deadLetters);
  if (!topic) throw missing(deadLetters);
  const { partitions } = topic;
  return new DeadLetterLog({
    topic: deadLetters,
    partitions,
    reader,
    clock: systemClock,
    random: Math.random,
  });
}

/** By mutation topic, those that exist. */
function snapshotsOf(
  { topics: { mutations, snapshots } }: Settings,
  existing: ReadonlyMap<string, ExistingTopic>,
): ReadonlyMap<string, string> {
  return new Map(
    mutations.flatMap((mutation, i) => {
      const snapshot = snapshots[i];
      return snapshot !== undefined && existing.has(snapshot) ? [[mutation, snapshot] as const] : [];
    }),
  );
}

function hashOf(clusterId: string, topic: string): string {
  return createHash('sha256').update(`${clusterId}/${topic}`).digest('hex').slice(0, 16);
}

function missing(topic: string): Error {
  return new Error(`topic ${topic} isn't there; \`topics create\` makes it, TOPICS_* name another`);
}
